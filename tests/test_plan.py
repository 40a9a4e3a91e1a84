"""The plan: Philox against published answers, chunk order, subsampling, noise, initial vectors, static weights."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.parity import make_case, make_job, random_tables, zipf_ids
from w2vfast import jobs, objectives, plan
from w2vfast.config import Config
from w2vfast.kernels import contract, philox, reference
from w2vfast.kernels.contract import chunk_count
from w2vfast.kernels.noise import alias_table

# Random123's known answers for Philox4x32-10: counter, key, result.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_known_answers(counter, key, answer):
    c0, c1, c2, c3 = counter
    seed = key[0] | key[1] << 32
    assert tuple(philox.philox4x32(seed, np.array(c0), np.array(c1), c2, np.array(c3)).tolist()) == answer


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_torch_philox_known_answers(counter, key, answer):
    import torch

    from w2vfast.kernels.torch import plan as torch_plan

    c0, c1, c2, c3 = counter
    words = torch_plan.philox(key[0] | key[1] << 32, torch.tensor([c0]), torch.tensor([c1]), c2, torch.tensor([c3]))
    assert tuple(words[:, 0].tolist()) == answer


@pytest.mark.parametrize(
    ("tokens", "size"), [(1, 256), (60_000, 256), (200_000, 512), (1_000_000, 2048), (2**20, 4096), (10**9, 4096)]
)
def test_chunk_size_depends_on_the_corpus_alone(tokens, size):
    assert plan.chunk_size(tokens) == plan.chunk_size(tokens, 32) == size


@pytest.mark.parametrize(("window", "size"), [(5, 256), (63, 256), (64, 512), (500, 2048), (1000, 4096)])
def test_wide_windows_have_long_chunks_in_a_small_corpus_too(window, size):
    assert plan.chunk_size(1000, window) == size
    assert plan.chunk_size(10**7, window) == 4096


def test_chunk_order_is_a_permutation_fixed_by_seed_and_epoch():
    orders = {(seed, epoch): plan.chunk_order(1000, seed, epoch) for seed in (1, 2) for epoch in (0, 1)}
    for order in orders.values():
        assert sorted(order.tolist()) == list(range(1000))
    assert len({tuple(order.tolist()) for order in orders.values()}) == 4
    assert (plan.chunk_order(1000, 1, 0) == orders[1, 0]).all()
    # Neighbours in the order come from far-apart text.
    assert np.abs(np.diff(orders[1, 0])).mean() > 250


@pytest.mark.parametrize("sample", [1e-3, 1e-5, 0, 3, 0.9999])
def test_keep_thresholds_are_gensims(sample):
    from gensim.models import Word2Vec

    counts = {"the": 5000, "a": 900, "cat": 40, "sat": 7, "mat": 5}
    model = Word2Vec(sample=sample, min_count=1)
    model.build_vocab_from_freq(counts)
    ordered = np.array([counts[word] for word in model.wv.index_to_key])
    ours = plan.keep_thresholds(plan.keep_probability(ordered, sample))
    theirs = [model.wv.get_vecattr(word, "sample_int") for word in model.wv.index_to_key]
    assert np.abs(ours.astype(np.int64) - np.array(theirs, np.int64)).max() <= 1


def test_alias_table_holds_the_distribution():
    probability = objectives.noise_distribution(np.array([100000, 30, 20, 5, 5, 1, 1]), 0.75)
    table = alias_table(probability)
    accept, alias = table.prob, table.alias
    V = len(probability)
    share = accept / 2**32
    held = np.zeros(V)
    for column in range(V):
        held[column] += (share[column] if alias[column] != column else 1.0) / V
        if alias[column] != column:
            held[alias[column]] += (1 - share[column]) / V
    np.testing.assert_allclose(held, probability, atol=1e-8)


def test_shared_words_follow_the_noise_distribution():
    job = make_job(words=20, length=6000, tile=8)
    chunks = range(chunk_count(job, job.tokens))
    drawn = np.concatenate([reference.plan(job, chunk, 0, 32).shared_words.ravel() for chunk in chunks])
    counts = np.bincount(job.tokens & contract.ID_MASK, minlength=20) + 1
    expected = objectives.noise_distribution(counts, 0.75) * len(drawn)
    assert stats.chisquare(np.bincount(drawn, minlength=20), expected).pvalue > 1e-4


def test_radius_is_uniform_and_subsampling_keeps_the_right_share():
    job = make_job(words=20, length=6000)
    plans = [reference.plan(job, chunk, 0, 1) for chunk in range(chunk_count(job, job.tokens))]
    radius = np.concatenate([p.radius for p in plans])
    assert stats.chisquare(np.bincount(radius, minlength=6)[1:]).pvalue > 1e-4
    kept = np.concatenate([p.positions for p in plans])
    probability = job.keep_threshold[job.tokens & contract.ID_MASK] / 2**32
    spread = np.sqrt((probability * (1 - probability)).sum())
    assert abs(len(kept) - probability.sum()) < 4 * spread
    assert (np.diff(kept) > 0).all()


def test_epochs_and_seeds_draw_anew():
    job = make_job()
    first = reference.plan(job, 3, 0, 16)
    assert not np.array_equal(first.positions, reference.plan(job, 3, 1, 16).positions)
    assert not np.array_equal(first.shared_words, reference.plan(make_job(seed=5), 3, 0, 16).shared_words)


@pytest.mark.parametrize("rows", [0, 5, plan.HUGE_PAGE // 400, plan.HUGE_PAGE // 40])
def test_a_large_table_begins_at_a_huge_page(rows):
    tables = [plan.zeros(rows, 100) for _ in range(3)]
    assert all(table.shape == (rows, 100) and not table.any() and table.flags.c_contiguous for table in tables)
    assert rows * 400 < plan.HUGE_PAGE or not any(table.ctypes.data % plan.HUGE_PAGE for table in tables)


def test_initial_vectors_are_uniform_in_gensims_range_and_seeded():
    vectors = plan.initial_vectors(3000, 10, seed=9)
    assert vectors.dtype == np.float32
    assert vectors.shape == (3000, 10)
    assert stats.kstest(vectors.ravel() * 10, stats.uniform(-1, 2).cdf).pvalue > 1e-4
    assert (vectors == plan.initial_vectors(3000, 10, seed=9)).all()
    assert (vectors != plan.initial_vectors(3000, 10, seed=10)).any()
    # A prefix of the words does not depend on how many follow.
    assert (plan.initial_vectors(7, 10, seed=9) == vectors[:7]).all()
    # Some dimensions do not depend on the others, whatever the length of a row in the generator's blocks.
    for size in (1, 7, 100, 20_001):
        whole = plan.initial_vectors(9, size, 4)
        for own in (slice(0, size // 2), slice(size // 3, size)):
            assert (plan.initial_vectors(9, size, 4, own) == whole[:, own]).all()


@pytest.mark.parametrize("objective", ["negative-sampling", "nce", "sampled-softmax", "softmax"])
@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_static_weights_are_the_mean_weight_in_flight(mode, objective):
    ids = zipf_ids(30, 20_000) & contract.ID_MASK
    ids[199::200] |= contract.SENTENCE_END
    counts = np.bincount(ids & contract.ID_MASK, minlength=30) + 1
    job, visit = make_case(
        words=30,
        tokens=ids,
        mode=mode,
        objective=objective,
        target_mask=False,
        sample=0.05,
        alpha=1.0,
        min_alpha=1.0,
    )
    tables = random_tables(job, 1)
    if "softmax" in objective:  # what it puts on each word is what it has learnt: that word's share of the targets
        share = counts * plan.keep_probability(counts, 0.05)
        tables = np.ones_like(tables[0]), np.log(share / share.sum())[:, None]
    tiles = [tile for place in range(len(visit.chunks)) for tile in reference.tiles_of(job, visit, place)]
    totals = np.zeros(30), np.zeros(30)
    for tile in tiles:
        updates = reference.tile_updates(job, tile, *tables)
        for total, side in zip(totals, (updates.w_in, updates.w_out), strict=True):
            for row, weight in side.weights.items():
                total[row] += weight
    trained = sum(tile.tokens for tile in tiles)
    kept = counts * plan.keep_probability(counts, 0.05)
    expected = jobs.static_weights(kept, Config(mode=mode), job.objective, trained)
    # Windows end at sentences and chunks, so a few per cent of the pairs are missing; rare words are noisy.
    frequent = counts > 800
    for total, weights in zip(totals, expected, strict=True):
        np.testing.assert_allclose(total[frequent], weights[frequent], rtol=0.1)
