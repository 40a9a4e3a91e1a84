"""The seam between input side and objective: one made for these tests, unlike those that exist, goes through untouched.

Each target has two columns of its own, W_out has fewer rows than there are words, no word is drawn, two columns are
shared by all, and the rows themselves decay: what trees, codes and classes will need.
"""

import sys
import types
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from benchmarks.parity import hold, make_job, visit_of
from w2vfast.kernels.contract import Gradient, OwnPair
from w2vfast.kernels.torch import objectives as torch_objectives
from w2vfast.kernels.torch import step as torch_step

CLASSES, NODES, DECAY = 2, 7, 0.1  # columns 0 and 1 are shared; 2 .. 8 are nodes


@dataclass(frozen=True, eq=False)
class TwoNodes:
    """Squared error: shared columns predict 0, a target's two nodes 1 and -1."""

    name: ClassVar[str] = "two-nodes"
    noise: None = None
    weight_per_pair: float = 2.0

    def out_rows(self, V):
        return CLASSES + NODES

    def check(self, V):
        pass

    def static_out_weight(self, pairs):
        raise NotImplementedError

    def columns(self, tile):
        own = [
            OwnPair(r, CLASSES + node, label, 0.5)
            for r, row in enumerate(tile.rows)
            for target in row.targets
            for node, label in ((target % NODES, 1.0), (target // NODES % NODES, -1.0))
        ]
        return list(range(CLASSES)), own

    def gradient(self, tile, own, own_scores, shared_scores):
        n = np.array([[len(row.targets)] for row in tile.rows], float)
        label = np.array([pair.label for pair in own])
        return Gradient(
            own=0.5 * (label - own_scores),
            shared=-n * shared_scores,
            own_weight=np.full(len(own), 0.5),
            shared_weight=np.broadcast_to(n, shared_scores.shape),
            loss=float((0.25 * (label - own_scores) ** 2).sum() + (n / 2 * shared_scores**2).sum()),
            factor=-DECAY * n[:, 0],
        )


class Columns:
    own_per_target = 2

    def __init__(self, objective, device, dtype):
        pass

    def own(self, targets):
        return CLASSES + torch.stack([targets % NODES, targets // NODES % NODES], 2).flatten(1)

    def shared(self, shared_words):
        return torch.arange(CLASSES).expand(len(shared_words), -1)

    def gradient(self, inputs, scores, columns):
        P = inputs.own.shape[2]
        label = torch.tensor([1.0, -1.0], dtype=scores.dtype).repeat(P // 2)
        label = torch.cat([label, torch.zeros(CLASSES, dtype=scores.dtype)])
        weight = torch.cat([0.5 * inputs.own, inputs.n.expand(-1, -1, CLASSES)], 2)
        loss = (weight / 2 * (label - scores) ** 2).sum(dtype=torch.float64)
        return torch_objectives.Gradient(weight * (label - scores), weight, loss, -DECAY * inputs.n)


@pytest.mark.parametrize(
    "mode", [{"mode": "sg"}, {"mode": "cbow"}, {"mode": "cbow", "cbow_mean": False}], ids=["sg", "cbow", "cbow-sum"]
)
@pytest.mark.parametrize("row_cap", ["tile", "batch"])
def test_an_objective_of_another_kind_is_a_file_in_its_room(mode, row_cap, monkeypatch):
    file = types.ModuleType("w2vfast.kernels.torch.objectives.two_nodes")
    file.Columns = Columns
    monkeypatch.setitem(sys.modules, file.__name__, file)
    job = make_job(length=700, tokens_in_flight=96, row_cap=row_cap, cap=0.5, objective_value=TwoNodes(), **mode)
    outcome = hold(torch_step.create_step, job, visit_of(job, shared_words=0), 9, dtype=np.float64)
    assert outcome.expected.pairs > 0
    assert outcome.error <= 1e-12
