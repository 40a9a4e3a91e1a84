"""The input sides of a batch of tiles: rows made from W_in, their targets, and the way back of their gradients.

B tiles, T rows (some of them empty), H = T + 2 W tokens of halo, D vector size, L own pairs a target, C shared columns.
An input side scores its rows against `right` [B, P, D], the rows of W_out of the targets' columns and then of the
shared ones, as [B, T, own + C]: own is what it lays its own pairs out in, most of them empty in skip-gram.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Read = Callable[[Tensor], Tensor]  # numbers of rows, of any shape -> these rows of W_in


@dataclass(frozen=True, eq=False)
class Batch:
    """Tiles that are computed from one snapshot of the tables."""

    tokens: Tensor  # int64 [B, T]
    halo: Tensor  # int64 [B, H]
    inputs: Tensor  # int64 [B, H] the halo's rows of W_in
    window: Tensor  # bool [B, T, H] which tokens of the halo are in a token's window
    shared_words: Tensor  # int64 [B, N]
    rate: Tensor  # [B, 1, 1]


class WordInput:
    """Skip-gram: a row a token, W_in of its word; its targets are the words of its window, laid out as [T, H L]."""

    def __init__(self, batch: Batch, read: Read, own_per_target: int) -> None:
        self.targets = batch.halo
        W = (batch.halo.shape[1] - batch.tokens.shape[1]) // 2
        self._tokens = batch.inputs[:, W : W + batch.tokens.shape[1]]
        self.left = read(self._tokens)
        self._window = batch.window.to(self.left.dtype)
        self.n = self._window.sum(2, keepdim=True)
        self.own = self._window if own_per_target == 1 else self._window.repeat_interleave(own_per_target, 2)

    def hits(self, words: Tensor) -> Tensor:
        """Return how many of each row's targets are each of the tile's `words` [B, C], as [B, T, C]."""
        same = (self.targets[:, :, None] == words[:, None, :]).to(self._window.dtype)
        return torch.bmm(self._window, same)

    def of_targets(self, values: Tensor) -> Tensor:
        """Return the sum over each row's targets of `values` [B, S, X], which belong to `targets`, as [B, T, X]."""
        return torch.bmm(self._window, values)

    def apart(self, words: Tensor, dtype: torch.dtype) -> Tensor:
        """Return 1 where a target and one of the tile's `words` [B, C] differ, else 0: for the two sums that follow."""
        return (self.targets[:, :, None] != words[:, None, :]).to(dtype)  # [B, H, C]

    def over_draws(self, share: Tensor, apart: Tensor) -> Tensor:
        """Return the sum of `share` [B, T, C] over the words that are not the pair's target, laid out as `own`."""
        return torch.bmm(share, apart.transpose(1, 2))

    def over_targets(self, own: Tensor, apart: Tensor) -> Tensor:
        """Return the sum of `own` over those of the row's targets that are not the word, [B, T, C]."""
        return torch.bmm(own, apart)

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Return each own pair's row, of B T, and target, int64 [P]."""
        tile, row, place = self._window.nonzero(as_tuple=True)
        return tile * self._window.shape[1] + row, self.targets[tile, place]

    def score(self, right: Tensor) -> Tensor:
        """Return the scores."""
        return torch.bmm(self.left, right.transpose(1, 2))

    def back(self, gradient: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of `left` and of `right`."""
        return torch.bmm(gradient, right), torch.bmm(gradient.transpose(1, 2), self.left)

    def of_columns(self, values: Tensor) -> Tensor:
        """Lay a value a column, [B, P], out as scores are, to be broadcast against them."""
        return values[:, None, :]

    def column_weight(self, weight: Tensor) -> Tensor:
        """Return what each column's pairs weigh together, [B, P]."""
        return weight.sum(1)

    def give_back(self, d_left: Tensor, weight_per_pair: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return rows of W_in [B, R], their gradients [B, R, D], and what each weighs in the row cap [B, R]."""
        return self._tokens, d_left, self.n.squeeze(2) * weight_per_pair


class MinedInput(WordInput):
    """Skip-gram whose rows have M columns of their own besides, last: `right` [B, P + T M, D], scores [B, T, P + M]."""

    def __init__(self, batch: Batch, read: Read, own_per_target: int, mined: int) -> None:
        super().__init__(batch, read, own_per_target)
        self._mined = mined

    def _apart(self, right: Tensor) -> tuple[Tensor, Tensor]:
        """Return the columns of all rows [B, P, ...] and the mined ones [B, T, M, ...]."""
        T = self.left.shape[1]
        P = right.shape[1] - T * self._mined
        return right[:, :P], right[:, P:].unflatten(1, (T, self._mined))

    def score(self, right: Tensor) -> Tensor:
        """Return the scores."""
        of_all, mined = self._apart(right)
        return torch.cat([super().score(of_all), (mined * self.left[:, :, None]).sum(3)], 2)

    def back(self, gradient: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of `left` and of `right`."""
        of_all, mined = self._apart(right)
        g_all, g_mined = gradient.split([of_all.shape[1], self._mined], 2)
        d_left, d_all = super().back(g_all, of_all)
        d_left += (g_mined[:, :, :, None] * mined).sum(2)
        d_mined = g_mined[:, :, :, None] * self.left[:, :, None]
        return d_left, torch.cat([d_all, d_mined.flatten(1, 2)], 1)

    def of_columns(self, values: Tensor) -> Tensor:
        """See WordInput."""
        of_all, mined = self._apart(values)
        return torch.cat([of_all[:, None].expand(-1, mined.shape[1], -1), mined], 2)

    def column_weight(self, weight: Tensor) -> Tensor:
        """See WordInput."""
        return torch.cat([weight[:, :, : -self._mined].sum(1), weight[:, :, -self._mined :].flatten(1)], 1)


class WindowInput:
    """CBOW: a row a token, the sum or mean of its window; its target is the token, laid out as [T, L]."""

    def __init__(self, batch: Batch, read: Read, own_per_target: int, mean: bool) -> None:
        self.targets = batch.tokens
        self._halo = batch.inputs
        rows = read(batch.inputs)
        self._window = batch.window.to(rows.dtype)
        length = self._window.sum(2, keepdim=True)
        self._one_nth, self._mean = 1 / length.clamp(min=1), mean
        self.left = torch.bmm(self._window, rows)
        if mean:
            self.left *= self._one_nth
        self.n = (length > 0).to(rows.dtype)
        self.own = self.n.expand(-1, -1, own_per_target)

    def hits(self, words: Tensor) -> Tensor:
        """See WordInput."""
        return self.n * (self.targets[:, :, None] == words[:, None, :])

    def of_targets(self, values: Tensor) -> Tensor:
        """See WordInput."""
        return self.n * values

    def apart(self, words: Tensor, dtype: torch.dtype) -> Tensor:
        """See WordInput."""
        return (self.targets[:, :, None] != words[:, None, :]).to(dtype)  # [B, T, C]

    def over_draws(self, share: Tensor, apart: Tensor) -> Tensor:
        """See WordInput."""
        return (share * apart).sum(2, keepdim=True)

    def over_targets(self, own: Tensor, apart: Tensor) -> Tensor:
        """See WordInput."""
        return own * apart

    def pairs(self) -> tuple[Tensor, Tensor]:
        """See WordInput."""
        row = self.n.flatten().nonzero().squeeze(1)
        return row, self.targets.flatten()[row]

    def _split(self, right: Tensor) -> tuple[Tensor, Tensor]:
        """Return the own columns [B, T, L, D] and the shared ones [B, C, D]."""
        T, L = self.own.shape[1:]
        return right[:, : T * L].unflatten(1, (T, L)), right[:, T * L :]

    def score(self, right: Tensor) -> Tensor:
        """Return the scores."""
        own, shared = self._split(right)
        return torch.cat([(self.left[:, :, None] * own).sum(3), torch.bmm(self.left, shared.transpose(1, 2))], 2)

    def back(self, gradient: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of `left` and of `right`."""
        own, shared = self._split(right)
        L = own.shape[2]
        g_own, g_shared = gradient[:, :, :L, None], gradient[:, :, L:]
        d_left = torch.bmm(g_shared, shared)
        for pair in range(L):
            d_left.addcmul_(g_own[:, :, pair], own[:, :, pair])
        d_own = (g_own * self.left[:, :, None]).flatten(1, 2)
        return d_left, torch.cat([d_own, torch.bmm(g_shared.transpose(1, 2), self.left)], 1)

    def of_columns(self, values: Tensor) -> Tensor:
        """See WordInput."""
        T, L = self.own.shape[1:]
        own, shared = values[:, : T * L].unflatten(1, (T, L)), values[:, None, T * L :]
        return torch.cat([own, shared.expand(-1, T, -1)], 2)

    def column_weight(self, weight: Tensor) -> Tensor:
        """See WordInput."""
        L = self.own.shape[2]
        return torch.cat([weight[:, :, :L].flatten(1), weight[:, :, L:].sum(1)], 1)

    def give_back(self, d_left: Tensor, weight_per_pair: float) -> tuple[Tensor, Tensor, Tensor]:
        """See WordInput; gensim's convention: d_left whole to every input under the mean, divided by n otherwise."""
        if not self._mean:
            d_left = d_left * self._one_nth
        return self._halo, torch.bmm(self._window.transpose(1, 2), d_left), self._window.sum(1) * weight_per_pair


Input = WordInput | MinedInput | WindowInput
