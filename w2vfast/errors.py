"""The errors that a user can mend: each message is one line that names the cause and the remedy."""


class InputError(ValueError):
    """Bad input or bad settings; the command line prints its message and exits with code 2."""


class TooFewWordsError(InputError):
    """A vocabulary would have fewer than the two words that training needs."""


class DivergenceError(ArithmeticError):
    """Training stopped because the loss was no longer finite; the message names the settings to change."""


class Stopped(Exception):
    """Training was asked to stop before its end; the message says what became of what was trained."""


class RankLostError(Exception):
    """Another process of a run on many has ended or does not answer."""
