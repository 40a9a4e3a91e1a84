"""What the commands share: options made from Config's fields, errors of one line, and exit codes."""

import argparse
import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any, Literal, NoReturn, Self, get_args, get_origin, get_type_hints

from w2vfast.config import Config, flag
from w2vfast.errors import DivergenceError, InputError, RankLostError


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError with the message."""
        raise InputError(f"{message} (--help lists the options)")


def add_options(parser: argparse.ArgumentParser, names: Iterable[str] | None = None) -> None:
    """Add the named options of Config, without a default: None stands for an option that is not given.

    Without names all of them are added, and other tools' spellings of them too.
    """
    fields, hints = {field.name: field for field in dataclasses.fields(Config)}, get_type_hints(Config)
    for name in fields if names is None else names:
        hint, metadata = hints[name], fields[name].metadata
        spellings = [flag(name), *(metadata["aliases"] if names is None else ())]
        text = metadata["help"].replace("%", "%%") + f" (default: {metadata['default_text']})"
        kind = next(k for k in (get_args(hint) if type(None) in get_args(hint) else (hint,)) if k is not type(None))
        if kind is bool:
            how: dict[str, Any] = {"action": argparse.BooleanOptionalAction, "default": None}
        elif get_origin(kind) is Literal:
            how = {"choices": get_args(kind), "type": type(get_args(kind)[0])}
        elif get_origin(kind) is tuple:
            how = {"action": "append", "metavar": "FILE"}
        else:
            how = {"type": kind, "metavar": kind.__name__.upper()}
        parser.add_argument(*spellings, dest=name, help=text, **how)


def config_of(arguments: argparse.Namespace, **defaults: Any) -> Config:
    """Return the config that the given options make; `defaults` are a command's own. Raises InputError."""
    names = [field.name for field in dataclasses.fields(Config)]
    given = {name: value for name in names if (value := getattr(arguments, name, None)) is not None}
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return Config(**defaults | given)


def option_words(settings: Mapping[str, Any]) -> list[str]:
    """Return the words of a command line that gives these options; one that is None is left out."""
    words: list[str] = []
    for name, value in settings.items():
        if isinstance(value, bool):
            words.append(flag(name) if value else "--no-" + flag(name)[2:])
        elif value is not None:
            for item in value if isinstance(value, tuple) else (value,):
                words += [flag(name), str(item)]
    return words


class Interrupted(KeyboardInterrupt):
    """A signal ends the command, which exits with 128 and its number."""

    def __init__(self, number: int, said: str = "") -> None:
        super().__init__(*([said] if said else []))
        self.number = number


class Signals:
    """Has SIGINT and SIGTERM raise Interrupted; while `gently` is set the first one is only noted in `number`.

    What was ignored when the command began stays ignored, as SIGINT is in the background of a shell.
    """

    def __init__(self) -> None:
        self.gently = False
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # others may set no handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._answer)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _answer(self, number: int, _: FrameType | None) -> None:
        at_once = not self.gently or self.number is not None
        self.number = number
        if at_once:
            raise Interrupted(number)
        # Not print: a handler may have interrupted what holds the stream.
        os.write(2, b"\nfinishing the chunks in hand; a second signal ends at once\n")


def exit_code(
    program: str,
    command: Callable[[], None],
    *,
    interrupted: str = "interrupted",
    tells: Callable[[], bool] = lambda: True,
) -> int:
    """Run a command and return its exit code, what went wrong being said in one line.

    It is 2 for bad input, a diverged training and a lack of memory, 1 where another rank is lost, 130 for SIGINT, and
    143 for SIGTERM. Nothing is said unless `tells` returns True: of several ranks one speaks.
    """

    def say(message: str) -> None:
        if tells():
            print(message, file=sys.stderr)

    try:
        command()
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads the results (head, less) has seen enough; nothing more may be flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (InputError, DivergenceError) as error:
        say(f"{program}: error: {error}")
        return 2
    except RankLostError as error:
        say(f"{program}: error: {error}")
        return 1
    except MemoryError as error:
        told = f" ({error})" if str(error) else ""
        say(f"{program}: error: memory ran out{told}: lower --vector-size, raise --min-count, or give it more memory")
        return 2
    except KeyboardInterrupt as error:
        say(f"{program}: {error.args[0] if error.args else interrupted}")
        return 128 + (error.number if isinstance(error, Interrupted) else signal.SIGINT)
    return 0
