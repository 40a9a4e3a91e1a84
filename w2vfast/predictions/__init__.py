"""Distributions over the words, exact and in float64: what each objective's tables say of a row. One file each.

A module is found by its objective's name and has

    PROBABILITIES       whether its scores are log probabilities
    scores(objective, left, w_out)
                        what every word of the vocabulary gets, float64 [B, V], for rows `left`, float64 [B, D], and
                        W_out, float32 [out_rows, D]: log probabilities, or numbers that rank the words, higher first

and, where they mean something,

    uncorrected(objective, left, w_out)   `scores` as gensim has them
    log_z(objective, left, w_out)         the logarithm of the sum that a trained normaliser stands for, float64 [B]
    outside(objective, left, w_out)       the probability that belongs to no word, float64 [B]
    decode(objective, left, w_out)        the word that a code of bits, each the likelier, stands for, int64 [B]
"""

from importlib import import_module
from typing import Any


def file_of(objective: str) -> str:
    """Return the name of the file that an objective has in every package of objectives."""
    return objective.replace("-", "_").replace(",", "__")


def module_of(objective: str) -> Any:
    """Return the module of an objective's distribution."""
    return import_module(f"{__name__}.{file_of(objective)}")
