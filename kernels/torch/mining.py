"""Mines columns: for each row of W_in the rows of W_out with which its inner product is largest.

Exact up to `contract.EXACT_MINING` columns; beyond, an inverted file of faiss where that is installed (the extra
w2vfast[faiss]), which is not.
"""

import importlib.util
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from w2vfast.kernels.contract import EXACT_MINING

BLOCK_SCORES = 1 << 24  # scores held at a time: 64 MiB of float32, and as much again a few times over
# W_out is parted into LISTS * sqrt(rows) lists, of which this share is searched for each word: 97 % of the right
# columns of 57,801 words in 4.8 seconds of one core, where the exact ones take 29 (docs/experiments.md, "Mining").
LISTS = 4
SEARCHED = 1 / 8


def largest(w_in: Tensor, w_out: Tensor, count: int) -> Tensor:
    """Return the `count` columns of largest inner product for each row, int64 [V, count], the largest first.

    `w_in` is [V, D], `w_out` [rows, D]. Of columns with equal ones the first come first.
    """
    if len(w_out) > EXACT_MINING and importlib.util.find_spec("faiss") is not None:
        return torch.from_numpy(_by_lists(w_in, w_out, count)).to(w_in.device)
    rows = max(1, BLOCK_SCORES // len(w_out))
    return torch.cat([_exactly(w_in[i : i + rows] @ w_out.T, count) for i in range(0, len(w_in), rows)])


def _exactly(scores: Tensor, count: int) -> Tensor:
    """Return the columns of each row's largest scores [R, rows], the first of equal ones first."""
    scores.nan_to_num_(
        nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf
    )  # a run that diverges is told so by its loss
    top = scores.topk(min(count + 1, scores.shape[1]), 1)
    columns = top.indices[:, :count]
    # Of scores that equal the last one, topk takes any.
    cut = (top.values[:, count - 1 : count] == top.values[:, count:]).any(1).nonzero()[:, 0]
    if len(cut):
        tied, least = scores[cut], top.values[cut, count - 1 : count]
        first_most = torch.arange(tied.shape[1], 0, -1, device=tied.device).to(tied.dtype)
        rank = torch.where(tied == least, first_most, 0).masked_fill_(tied > least, torch.inf)
        columns[cut] = rank.topk(count, 1).indices
    columns = columns.sort(dim=1).values
    order = scores.gather(1, columns).sort(dim=1, descending=True, stable=True).indices
    return columns.gather(1, order)


def _by_lists(w_in: Tensor, w_out: Tensor, count: int) -> NDArray[np.int64]:
    """Return most of the same by faiss; a search that finds fewer than `count` columns is filled with the first ones.

    One more component makes all columns as long as the longest: the nearest are then those of largest inner product
    (Bachrach et al., "Speeding up the Xbox recommender system using a Euclidean transformation for inner-product
    spaces", RecSys 2014).
    """
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    queries, columns = (torch.nan_to_num(table.float().cpu()) for table in (w_in, w_out))
    square = columns.square().sum(1, keepdim=True)
    columns = torch.cat([columns, (square.max() - square).clamp(min=0).sqrt()], 1)
    queries = torch.nn.functional.pad(queries, (0, 1))
    lists, size = LISTS * math.isqrt(len(columns)), columns.shape[1]
    centres = faiss.IndexFlatL2(size)
    index = faiss.IndexIVFFlat(centres, size, lists)
    index.nprobe = max(1, round(lists * SEARCHED))
    index.train(columns.numpy())
    index.add(columns.numpy())
    found: NDArray[np.int64] = index.search(queries.numpy(), count)[1]
    return np.where(found >= 0, found, np.arange(count))
