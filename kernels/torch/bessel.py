"""Logarithm and ratio of modified Bessel functions of the first kind, for any order and argument, without overflow.

For v = D / 2 - 1: at an order o = v + n of at least `LEAST_ORDER` Debye's uniform expansion holds (DLMF 10.41.3); from
there down Q_o = I_(o+1)(x) / (x I_o(x)) goes by 1 / Q_(o-1) = 2 o + x^2 Q_o (DLMF 10.29.1), which shrinks every error.
With s = sqrt(o^2 + x^2), p = o / s and the polynomials U_k of DLMF 10.41.9,

    log(I_o / x^o) = s - o log(o + s) - log(2 pi s) / 2 + log sum_k U_k(p) / o^k
    Q_o = 1 / (s + o) - sum_k (p U_k / 2 + p^2 U_k') / o^(k+1) / (s sum_k U_k / o^k),

the second from 10.41.3 and 10.41.5 with the difference of V_k and U_k as in 10.41.11, so that nothing cancels and x = 0
is no exception. Q's relative error in float64 is 1e-15 for D = 2 .. 65536 and any x; the logarithm's is 1e-14.
"""

import math
from fractions import Fraction
from functools import cache

import torch
from torch import Tensor

LEAST_ORDER = 16  # with TERMS terms the expansion's error is below float64's rounding: with 8 it is 1e-14
TERMS = 10
_Polynomial = list[Fraction]  # coefficients, the constant first


@cache
def _expansion() -> tuple[list[_Polynomial], list[_Polynomial]]:
    """Return U_k for k = 0 .. TERMS, and p U_k / 2 + p^2 U_k' for k = 0 .. TERMS - 1."""
    u, of_ratio = [[Fraction(1)]], []
    for _ in range(TERMS):
        following, mixed = [Fraction(0)] * (len(u[-1]) + 3), [Fraction(0)] * (len(u[-1]) + 1)
        for i, c in enumerate(u[-1]):
            following[i + 1] += c * (Fraction(i, 2) + Fraction(1, 8 * (i + 1)))
            following[i + 3] -= c * (Fraction(i, 2) + Fraction(5, 8 * (i + 3)))
            mixed[i + 1] += c * (Fraction(1, 2) + i)
        u.append(following)
        of_ratio.append(mixed)
    return u, of_ratio


class Bessel:
    """The functions of one D."""

    def __init__(self, D: int) -> None:
        self._v = D / 2 - 1
        self._steps = max(2, math.ceil(LEAST_ORDER - self._v))
        order = Fraction(D - 2, 2) + self._steps
        u, of_ratio = _expansion()
        self._sum = _over_powers(u, order, 0)
        self._ratio_sum = _over_powers(of_ratio, order, 1)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return log(I_v(x) / x^v) and I_(v+1)(x) / (x I_v(x)) of float64 x >= 0, as x."""
        order = self._v + self._steps
        s = torch.hypot(x, torch.full_like(x, order))
        p = order / s
        total = _at(self._sum, p)
        log = s - order * torch.log(order + s) - torch.log(2 * math.pi * s) / 2 + torch.log(total)
        ratio = 1 / (s + order) - _at(self._ratio_sum, p) / total / s
        for step in range(self._steps, 0, -1):
            ratio = 1 / (2 * (self._v + step) + x * (x * ratio))
            log = log - torch.log(ratio)
        return log, ratio


def _over_powers(polynomials: list[_Polynomial], order: Fraction, first: int) -> list[float]:
    """Return the coefficients of sum_k polynomial_k / order^(k + first)."""
    total = [Fraction(0)] * max(len(polynomial) for polynomial in polynomials)
    for k, polynomial in enumerate(polynomials, first):
        for i, c in enumerate(polynomial):
            total[i] += c / order**k
    return [float(c) for c in total]


def _at(coefficients: list[float], p: Tensor) -> Tensor:
    value = torch.zeros_like(p)
    for c in reversed(coefficients):
        value = value * p + c
    return value
