"""Hierarchical softmax, alone and with negative sampling: the tree, the probabilities, the gradient, every kernel."""

import dataclasses
import heapq
import time
from functools import partial

import numpy as np
import pytest

from benchmarks import parity
from w2vfast import backends, trainer
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.kernels import reference
from w2vfast.kernels.contract import check
from w2vfast.kernels.huffman import Tree, huffman_tree
from w2vfast.kernels.objectives.hierarchical_softmax import HierarchicalSoftmax
from w2vfast.predictions import hierarchical_softmax as prediction
from w2vfast.predictions import hierarchical_softmax__negative_sampling as prediction_of_both

TREE = "hierarchical-softmax"
BOTH = "hierarchical-softmax,negative-sampling"
COUNTS = {
    "two": [3, 1],
    "two equal": [1, 1],
    "zeros": [0, 0, 0, 0, 0],
    "one word": [7, 0, 0],
    "ties": [4] * 13,
    "ones": [1] * 64,
    "doubling": [2**i for i in range(40)],
    "fibonacci": [1, 1, 2, 3, 5, 8, 13, 21, 34, 55],
    "zipf": (1e6 / np.arange(1, 3000) ** 1.07).astype(int).tolist(),
    "unsorted": np.random.default_rng(5).zipf(1.3, 999).clip(max=10**6).tolist(),
}
# Where a tree's own blocks begin and end; tiles, windows, caps and vector sizes are in the matrix of conftest.MODES.
SHAPES = [
    *({"words": words, "vector_size": 17} for words in (2, 3, 15, 17, 18, 300)),
    {"words": 100, "vector_size": 300},
    {"words": 40, "static": True, "alpha": 0.5, "vector_size": 20},
    {"words": 40, "chunk_size": 7, "vector_size": 20},
]


def heap_cost(counts: list[int]) -> int:
    """Return the summed count * code length of a Huffman tree: the sum of all joins."""
    heap, cost = list(counts), 0
    heapq.heapify(heap)
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        cost += joined
        heapq.heappush(heap, joined)
    return cost


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
def test_codes_cost_what_a_heap_makes_them_cost(counts):
    tree = huffman_tree(np.array(counts, np.int64))
    tree.check(len(counts))
    assert int((tree.lengths * counts).sum()) == heap_cost(counts)
    assert float((0.5**tree.lengths).sum()) == 1
    codes = {tuple(tree.path(word)[1].tolist()) for word in range(len(counts))}
    assert not any(code[:i] in codes for code in codes for i in range(len(code)))
    assert all(tree.path(word)[0][0] == len(counts) - 2 for word in range(len(counts)))


def test_a_million_words_take_seconds():
    began = time.process_time()
    tree = huffman_tree((2e8 / np.arange(1, 1_000_001) ** 1.07).astype(np.int64) + 1)
    assert time.process_time() - began < 10
    assert tree.longest < 30


def changed(tree: Tree, **arrays) -> Tree:
    values = {name: getattr(tree, name) for name in ("offsets", "nodes", "bits")} | arrays
    return Tree(**values)


def test_what_is_no_tree_of_the_vocabulary_is_refused():
    tree = huffman_tree(np.array([5, 3, 2, 1]))
    bad = {
        "the vocabulary has 5": (5, tree),
        "int64 offsets": (4, changed(tree, nodes=tree.nodes.astype(np.int64))),
        "cut": (4, changed(tree, offsets=tree.offsets - 1)),
        "nodes 0 to 2": (4, changed(tree, nodes=tree.nodes + np.int32(1))),
        "bits 0 and 1": (4, changed(tree, bits=tree.bits + np.uint8(2))),
        "one binary tree": (4, changed(tree, bits=np.zeros_like(tree.bits))),
    }
    for message, (V, wrong) in bad.items():
        with pytest.raises(ValueError, match=message):
            HierarchicalSoftmax(wrong).check(V)
    swapped = changed(tree, nodes=np.ascontiguousarray(tree.nodes[::-1]))
    with pytest.raises(ValueError, match="one binary tree"):
        swapped.check(4)


def case(mode: str, objective: str, length: int = 400, **options):
    drawn = 0 if objective == TREE else 16
    return parity.make_case(mode=mode, objective=objective, length=length, shared_words=drawn, **options)


@pytest.mark.parametrize("V", [2, 3, 50])
@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_loss_is_that_of_probabilities_that_sum_to_one(V, mode):
    job, visit = case(mode, TREE, words=V)
    rng = np.random.default_rng(3)
    w_in, w_out = rng.normal(size=(V, 6)), rng.normal(size=(V - 1, 6)).astype(np.float32)
    tile = reference.tiles_of(job, visit, 0)[0]
    left = np.array([row.share * sum(w_in[word] for word in row.inputs) for row in tile.rows])
    assert prediction.PROBABILITIES
    scores = prediction.scores(job.objective, left, w_out)
    np.testing.assert_allclose(np.exp(scores).sum(1), 1, rtol=1e-12)
    expected = -sum(scores[r, target] for r, row in enumerate(tile.rows) for target in row.targets)
    assert reference.tile_updates(job, tile, w_in, w_out.astype(np.float64)).loss == pytest.approx(expected, rel=1e-12)
    both = case(mode, BOTH, words=V)[0].objective
    np.testing.assert_array_equal(prediction_of_both.scores(both, left, np.concatenate([w_in, w_out])), scores)


@pytest.mark.parametrize("objective", [TREE, BOTH])
def test_gradient_against_finite_differences(objective):
    """With the mask, whose weights are a function of the tile alone, the step is lr times minus the loss's gradient."""
    job, visit = case("sg", objective, words=12, target_mask=True)
    w_in, w_out = parity.random_tables(job, 5)
    tile = reference.tiles_of(job, visit, 0)[0]
    up = reference.tile_updates(job, tile, w_in, w_out)
    for table, side in ((w_in, up.w_in), (w_out, up.w_out)):
        for row, step in side.steps.items():
            for d in range(5):
                losses = []
                for h in (1e-5, -1e-5):
                    table[row, d] += h
                    losses.append(reference.tile_updates(job, tile, w_in, w_out).loss)
                    table[row, d] -= h
                slope = (losses[0] - losses[1]) / 2e-5
                assert step[d] == pytest.approx(-tile.learning_rate * slope, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("options", SHAPES, ids=lambda options: "-".join(f"{k}{v}" for k, v in options.items()))
@pytest.mark.parametrize("objective", [TREE, BOTH], ids=["tree", "both"])
@pytest.mark.parametrize("mode", ["sg", "cbow"])
@pytest.mark.parametrize("backend", ["torch", "native"])
def test_kernels_agree_with_the_reference(backend, mode, objective, options):
    if backends.unavailable_reason(backend):
        pytest.skip(f"{backend} cannot run here")
    options = dict(options)
    D = options.pop("vector_size")
    job, visit = case(mode, objective, **options)
    extra = {"poison": True} if backend == "native" else {}
    create = partial(backends.module_of(backend).create_step, workers=1, **extra)
    dtype, most = (np.float32, 2e-5) if backend == "native" else (np.float64, 1e-12)
    assert parity.hold(create, job, visit, D, dtype=dtype).error < most


@pytest.mark.parametrize("objective", [TREE, BOTH])
def test_static_weights_count_the_paths(objective):
    """Every word a target once: a node's weight is the number of words below it, the root's all of them."""
    job, _ = case("sg", objective, words=30)
    pairs = np.ones(30)
    weight = job.objective.static_out_weight(pairs)[-29:]
    tree = job.objective.tree
    below = [sum(node in tree.path(word)[0] for word in range(30)) for node in range(29)]
    np.testing.assert_array_equal(weight, below)
    assert weight.max() == 30


@pytest.mark.parametrize("mode", ["sg", "cbow"])
@pytest.mark.parametrize("objective", [TREE, BOTH])
def test_training_groups_the_themes(objective, mode, themed_sentences):
    from tests.conftest import share_of_right_neighbours

    config = Config(mode=mode, objective=objective, vector_size=16, min_count=1, epochs=8, workers=1, alpha=0.05)
    result = trainer.train_sentences(themed_sentences, config)
    assert share_of_right_neighbours(result.vocab.words, result.w_in) > 0.9
    assert result.loss_per_epoch[-1] < result.loss_per_epoch[0]
    V = len(result.vocab.words)
    assert len(result.w_out) == (V - 1 if objective == TREE else 2 * V - 1)


def test_settings_of_negatives_do_not_go_with_a_tree():
    for name, value in {"negative": 5, "shared_negatives": 8, "ns_exponent": 0.5, "preset": "fast"}.items():
        with pytest.raises(InputError, match=f"{name} is .*: it does not go with objective {TREE}$"):
            Config(objective=TREE, **{name: value})
        Config(objective=BOTH, **{name: value})


def test_a_job_refuses_a_foreign_tree():
    job, _ = case("sg", TREE, words=20)
    foreign = dataclasses.replace(job, objective=HierarchicalSoftmax(huffman_tree(np.arange(1, 9))))
    with pytest.raises(ValueError, match="the tree is of 8 words, the vocabulary has 20"):
        check(foreign, *parity.random_tables(job, 4))
