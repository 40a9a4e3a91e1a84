"""What stands between gensim's Word2Vec and ours: its super() calls, its threads, and what a corpus is refused for."""

import itertools
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import gensim.models.word2vec as gensim_word2vec

# Bound once: programs put our class in the place of the module's name.
from gensim.models.word2vec import Word2Vec as Gensim

__all__ = [
    "AfterGensim",
    "Crossing",
    "Gensim",
    "Relay",
    "first_checked",
    "gensims_loop",
    "unknown_arguments",
    "warned_of_letters",
    "why_empty",
]

# Methods that only gensim's own loop calls: who overrides one counts on that.
HOOKS = (
    *("_do_train_job", "_do_train_epoch", "_worker_loop", "_worker_loop_corpusfile"),
    *("_job_producer", "_get_next_alpha", "_raw_word_count"),
)
LARGEST_WINDOW = 1000  # what Config takes
MOST_NEGATIVES = 1000
# What older versions of gensim and other tools say.
NEW_NAMES = {
    "size": "vector_size",
    "iter": "epochs",
    "dim": "vector_size",
    "epoch": "epochs",
    "lr": "alpha",
    "threads": "workers",
    "mode": "sg=1 or sg=0",
}


class AfterGensim(Gensim):  # type: ignore[misc]
    """What comes after gensim's own methods that call super(Word2Vec, self).

    They find `Word2Vec` in their module, where programs put our class: super() then ends here, and goes on past
    gensim's class. Where the name is gensim's they go on by themselves.
    """

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the model; gensim's `load` and ours read it."""
        super(Gensim, self).save(*args, **kwargs)

    def _save_specials(self, *args: Any, **kwargs: Any) -> Any:
        return super(Gensim, self)._save_specials(*args, **kwargs)

    def _load_specials(self, *args: Any, **kwargs: Any) -> None:
        super(Gensim, self)._load_specials(*args, **kwargs)

    @classmethod
    def load(cls, *args: Any, **kwargs: Any) -> Any:
        """Load what gensim's `save` or ours wrote."""
        return super(Gensim, cls).load(*args, **kwargs)


class Crossing(threading.local):
    """Tells whether a call comes from a subclass of ours by way of gensim's method, which would send it round again.

    Where a program puts such a subclass in the place of gensim's name, super(Word2Vec, self) there is our method once
    more; the second time goes on past gensim's class.
    """

    def __init__(self) -> None:
        self._under_way: set[tuple[int, str]] = set()

    def call(self, method: str, owner: Any, *args: Any, **kwargs: Any) -> Any:
        """Call gensim's method on a model or a class, or what comes after it if that call is under way."""
        key, kind = (id(owner), method), owner if isinstance(owner, type) else type(owner)
        if key in self._under_way or not issubclass(kind, gensim_word2vec.Word2Vec):
            return getattr(super(Gensim, owner), method)(*args, **kwargs)
        own = getattr(Gensim, method)
        self._under_way.add(key)
        try:
            return own.__func__(owner, *args, **kwargs) if kind is owner else own(owner, *args, **kwargs)
        finally:
            self._under_way.discard(key)


def gensims_loop(model: Any) -> str | None:
    """Return why gensim's own loop has to train a model, None where ours can."""
    kind = type(model)
    overridden = [name for name in HOOKS if name in vars(model) or getattr(kind, name) is not getattr(Gensim, name)]
    if overridden:
        return f"{kind.__name__} overrides {', '.join(overridden)}, which only that loop calls"
    if model.window > LARGEST_WINDOW:
        return f"window={model.window} is above {LARGEST_WINDOW}, the widest that the fast kernels take"
    if model.negative > MOST_NEGATIVES:
        return f"negative={model.negative} is above {MOST_NEGATIVES}, the most that the fast kernels take"
    if len(model.wv) == 1:
        return "the vocabulary has one word, and the fast kernels need two to tell apart"
    return None


class Relay:
    """Iterates over sentences in gensim's thread, where an error would leave `train` waiting for ever, and keeps it."""

    def __init__(self, sentences: Iterable[Any]) -> None:
        self._sentences = sentences
        self._met: BaseException | None = None

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._sentences
        except BaseException as error:
            self._met = error

    def raise_what_it_met(self) -> None:
        """Raise the error that ended the sentences early, if one did."""
        if self._met is not None:
            raise self._met


def first_checked(sentences: Iterable[Any]) -> Iterable[Any]:
    """Return the sentences; raise TypeError if the first is a str of several words (its letters would be the words)."""
    first, all_sentences = _first(sentences)
    if isinstance(first, str) and len(first.split()) > 1:
        raise TypeError(
            f"a sentence must be a list of words, not the str {first!r:.60}, whose letters would be taken for "
            "words: split it, as in [line.split() for line in lines] (or list(line) if letters are meant)"
        )
    return all_sentences


def _first(sentences: Iterable[Any]) -> tuple[Any, Iterable[Any]]:
    """Return the first of the sentences, None if there is none, and all of them."""
    if type(sentences) in (list, tuple):
        return next(iter(sentences), None), sentences
    iterator = iter(sentences)
    for first in iterator:
        return first, itertools.chain([first], iterator)
    return None, ()


def unknown_arguments(names: Iterable[str]) -> str:
    """Return what is said of arguments that the class does not have, with the names that they have now."""
    hints = [f"{name!r}" + (f" (gensim 4: {NEW_NAMES[name]})" if name in NEW_NAMES else "") for name in names]
    return f"Word2Vec has no argument {', '.join(hints)}"


def warned_of_letters(sentences: Iterable[Any], logger: logging.Logger) -> Iterable[Any]:
    """Return the sentences; warn in gensim's log if the first is a str, whose letters are the words then."""
    first, all_sentences = _first(sentences)
    if isinstance(first, str):
        logger.warning(
            "Each 'sentences' item should be a list of words (usually unicode strings). The first is the str %r, "
            "whose letters are taken for words",
            first,
        )
    return all_sentences


def why_empty(raw: Mapping[Any, int], least: int, max_final_vocab: int | None) -> str:
    """Return the cause of an empty vocabulary, and the remedy, from the counts of all words."""
    if not raw:
        return "the corpus has no words; give one with text in it (a generator that was used up has none)"
    limit = (
        f"min_count={least}" if max_final_vocab is None else f"max_final_vocab={max_final_vocab} (min_count={least})"
    )
    return (
        f"no word reaches {limit} or is kept by trim_rule; the corpus has {sum(raw.values()):,} words, {len(raw):,} of "
        f"them different, and the most frequent occurs {max(raw.values()):,} times: lower min_count or give more text"
    )
