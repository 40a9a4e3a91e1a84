"""What the commands share: options from Config, one-line errors, exit codes."""

import pytest

from w2vfast.command import Parser, add_options, config_of, exit_code, option_words
from w2vfast.config import Config
from w2vfast.errors import DivergenceError, InputError

OTHER = {
    "mode": "cbow", "vector_size": 7, "sample": 0.5, "cbow_mean": False, "shrink_windows": True, "device": "cpu",
    "tile": 8, "cap": 1e9, "seed": 2**64 - 1, "workers": 1,
}  # fmt: skip


def parser_of(*names):
    parser = Parser(allow_abbrev=False)
    add_options(parser, names or None)
    return parser


def test_settings_survive_the_way_through_a_command_line():
    config = config_of(parser_of(*OTHER).parse_args(option_words(OTHER)))
    assert {name: getattr(config, name) for name in OTHER} == OTHER


def test_what_is_not_given_is_configs_default_or_the_commands():
    arguments = parser_of().parse_args(["--epochs", "9"])
    assert config_of(arguments, epochs=20, min_count=1) == Config(epochs=9, min_count=1)
    assert option_words({"tile": None}) == []


def test_named_options_alone_are_added_without_other_spellings():
    assert parser_of().parse_args(["-size", "3"]).vector_size == 3
    few = parser_of("vector_size")
    assert [action.option_strings for action in few._actions[1:]] == [["--vector-size"]]
    with pytest.raises(InputError, match="-size"):
        few.parse_args(["-size", "3"])


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("no such thing"), 2, "prog: error: no such thing\n"),
        (DivergenceError("diverged"), 2, "prog: error: diverged\n"),
        (KeyboardInterrupt(), 130, "prog: interrupted; nothing was written\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_codes(error, code, said, capsys):
    def fail():
        raise error

    assert exit_code("prog", fail, interrupted="interrupted; nothing was written") == code
    assert capsys.readouterr().err == said


def test_success_is_0_and_other_errors_pass():
    assert exit_code("prog", lambda: None) == 0
    with pytest.raises(ZeroDivisionError):
        exit_code("prog", lambda: 1 / 0)
