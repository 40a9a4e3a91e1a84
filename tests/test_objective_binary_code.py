"""Binary codes: gradients, codes and their decoding, what is repaired, probabilities, and codes that do not go."""

import dataclasses
import itertools

import numpy as np
import pytest

from benchmarks.parity import hold, make_job, random_tables, visit_of, zipf_ids
from tests.conftest import MODES
from tests.test_kernels import numeric_gradient
from w2vfast import objectives
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.kernels import contract, reference
from w2vfast.kernels.native import step as native_step
from w2vfast.kernels.objectives import convolutional
from w2vfast.kernels.objectives.binary_code import by_frequency
from w2vfast.kernels.torch import step as torch_step
from w2vfast.predictions import binary_code as prediction

CODES = {
    "plain": {"code": "plain"},
    "ecc": {"code": "ecc"},
    "hybrid": {"code": "hybrid", "code_words": 9},
    "hybrid-ecc": {"code": "hybrid-ecc", "code_words": 20},
    "all-but-one-in-the-softmax": {"code": "hybrid", "code_words": 49},
}
REPAIRED = (convolutional.FREE_DISTANCE - 1) // 2


def job_of(code, mode="sg", **options):
    return make_job(objective="binary-code", **CODES[code], **MODES[mode], **options)


def first_tile(job):
    return reference.tiles_of(job, visit_of(job, alpha=1.0, min_alpha=1.0), 0)[0]


@pytest.mark.parametrize("code", ["ecc", "hybrid"])
@pytest.mark.parametrize(("mode", "side"), [("sg", 0), ("sg", 1), ("cbow-sum", 1)])
def test_steps_are_minus_the_gradient_of_the_loss(code, mode, side):
    job = job_of(code, mode, tile=8)
    tile, tables = first_tile(job), random_tables(job, 3)
    updates = reference.tile_updates(job, tile, *tables)
    steps = (updates.w_in, updates.w_out)[side].steps
    assert len(steps) > 5
    for row, step in steps.items():
        for d in range(3):
            assert step[d] == pytest.approx(-numeric_gradient(job, tile, tables, side, row, d), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("vector_size", [1, 17, 100])
@pytest.mark.parametrize("mode", ["sg", "cbow-mean"])
@pytest.mark.parametrize("code", CODES)
def test_backends_equal_the_reference(code, mode, vector_size):
    job = job_of(code, mode, length=300, falling_weights=400.0 if vector_size == 17 else None)
    visit = visit_of(job)
    assert hold(torch_step.create_step, job, visit, vector_size, dtype=np.float64).error <= 1e-12
    for build in native_step.runnable_builds():

        def create(*given, build=build):
            return native_step.create_step(*given, build=build, poison=True)

        assert hold(create, job, visit, vector_size).error <= 2e-5


@pytest.mark.parametrize("words", [2, 3, 64, 65, 1000])
@pytest.mark.parametrize("code", ["plain", "ecc", "hybrid", "hybrid-ecc"])
def test_every_code_decodes_to_its_word(code, words):
    counts = np.random.default_rng(0).permutation(np.arange(words)) + 1
    config = Config(objective="binary-code", code=code, sample=0)
    if config.is_hybrid:
        config = dataclasses.replace(config, code_words=(words + 1) // 3)
    objective = objectives.create(config, counts)
    objective.check(words)
    coded = objective.rank >= objective.code_words
    assert objective.rank[np.argmax(counts)] == 0
    assert len(np.unique(objective.codes[coded], axis=0)) == coded.sum()
    scores = np.full((words, objective.out_rows(words)), -1.0)
    scores[:, objective.softmax :] += 2 * objective.codes
    if objective.code_words:
        scores[np.arange(words), np.minimum(objective.rank, objective.code_words)] = 1
    np.testing.assert_array_equal(prediction.decode_scores(objective, scores), np.arange(words))


def test_a_code_of_no_word_becomes_the_likeliest_codeword():
    """Five words, three bits: what says 7 or 5 is nearest to one of the codes 0 .. 4."""
    objective = by_frequency(np.arange(5, 0, -1.0), 0, 3, False)
    log_odds = np.array([[2.0, 0.5, 1.0], [3.0, -1.0, 0.1], [0.1, 2.0, 2.0]])
    likeliest = (log_odds @ objective.codes.T).argmax(1)
    assert likeliest.tolist() == [4, 4, 3]
    assert prediction.decode_scores(objective, log_odds).tolist() == [4, 4, 3]
    corrected = by_frequency(np.arange(5, 0, -1.0), 0, 3, True)
    code_of_7 = convolutional.encode(np.array([[1, 1, 1]], np.uint8)) * 2.0 - 1
    nearest = (code_of_7 @ corrected.codes.T).argmax(1)
    assert prediction.decode_scores(corrected, code_of_7).tolist() == nearest.tolist()


def test_the_free_distance_is_the_smallest_weight_of_a_codeword():
    """The code is linear: all data of 12 bits."""
    data = np.array(list(itertools.product((0, 1), repeat=12)), np.uint8)
    code = convolutional.encode(data)
    assert code.shape == (4096, convolutional.code_bits(12)) == (4096, 36)
    assert code[1:].sum(1).min() == convolutional.FREE_DISTANCE
    assert ((code[5] ^ code[700]) == code[5 ^ 700]).all()


def test_all_flips_up_to_half_the_free_distance_are_repaired():
    """Every pattern of up to 4 flips in a code of 3 bits, terminated: 18 code bits, 4,048 patterns of 8 codewords."""
    data = np.array(list(itertools.product((0, 1), repeat=3)), np.uint8)
    sent = convolutional.encode(data)
    L = sent.shape[1]
    for flips in range(REPAIRED + 1):
        patterns = np.array([np.bincount(p, minlength=L) for p in itertools.combinations(range(L), flips)])
        received = sent[:, None] ^ patterns[None].astype(np.uint8)
        decoded = convolutional.decode(2.0 * received.reshape(-1, L) - 1)
        assert (decoded.reshape(len(data), -1, 3) == data[:, None]).all()


@pytest.mark.parametrize("bits", [10, 17, 31])
def test_random_flips_up_to_half_the_free_distance_are_repaired(bits):
    rng = np.random.default_rng(bits)
    data = rng.integers(0, 2, (3000, bits), dtype=np.uint8)
    received = convolutional.encode(data)
    flipped = np.argsort(rng.random(received.shape), axis=1)[:, :REPAIRED]
    np.put_along_axis(received, flipped, 1 - np.take_along_axis(received, flipped, 1), 1)
    np.testing.assert_array_equal(convolutional.decode(2.0 * received - 1), data)


def test_more_flips_than_promised_may_be_taken_for_another_codeword():
    zero, other = np.zeros((1, 3), np.uint8), np.array([[0, 0, 1]], np.uint8)
    code = convolutional.encode(other)
    assert code.sum() == convolutional.FREE_DISTANCE
    received = code.copy()
    received[0, np.flatnonzero(code)[:REPAIRED]] = 0
    np.testing.assert_array_equal(convolutional.decode(2.0 * received - 1), other)
    received[0, np.flatnonzero(received)[:2]] = 0
    np.testing.assert_array_equal(convolutional.decode(2.0 * received - 1), zero)


def test_viterbi_finds_the_likeliest_codeword():
    rng = np.random.default_rng(0)
    data = np.array(list(itertools.product((0, 1), repeat=8)), np.uint8)
    log_odds = rng.normal(size=(200, convolutional.code_bits(8)))
    right = data[(log_odds @ convolutional.encode(data).T).argmax(1)]
    np.testing.assert_array_equal(convolutional.decode(log_odds), right)


@pytest.mark.parametrize("code", CODES)
def test_probabilities_sum_to_one_and_are_the_losss_but_for_the_codes_of_no_word(code):
    job = job_of(code)
    objective, (w_in, w_out) = job.objective, random_tables(job, 5)
    log_p = prediction.scores(objective, w_in, w_out)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, rtol=1e-12)
    # Assigned codewords hold 1 - outside, of a hybrid of what 'other' has.
    coded = objective.rank >= objective.code_words
    held = np.exp(log_p[:, coded]).sum(1)
    outside = prediction.outside(objective, w_in, w_out)
    assert (outside >= 0).all()
    assert (outside > 0).any() or 2**objective.data_bits == coded.sum()
    log_p[:, coded] += np.log((held - outside) / held)[:, None]
    tile = first_tile(job)
    loss = -sum(log_p[row.inputs[0], target] for row in tile.rows for target in row.targets)
    assert reference.tile_updates(job, tile, w_in, w_out).loss == pytest.approx(loss, rel=1e-9)


def test_at_zero_scores_the_bias_gives_each_bit_its_share_of_the_targets():
    counts = np.array([50, 30, 10, 6, 4])
    objective = objectives.create(Config(objective="binary-code", code="hybrid", code_words=2, sample=0), counts)
    p = np.exp(objective.bias[:3]) / np.exp(objective.bias[:3]).sum()
    np.testing.assert_allclose(p, [0.5, 0.3, 0.2], rtol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-objective.bias[3:])), [4 / 20, 6 / 20], rtol=1e-6)


def test_a_bit_learns_from_words_that_have_a_code_alone():
    job = job_of("hybrid")
    tile, objective = first_tile(job), job.objective
    shared, own = objective.columns(tile)
    gradient = objective.gradient(tile, own, np.zeros(0), np.zeros((len(tile.rows), len(shared))))
    for r, row in enumerate(tile.rows):
        coded = sum(objective.rank[target] >= 9 for target in row.targets)
        assert (gradient.shared_weight[r, objective.softmax :] == objective.bit_weight * coded).all()
        assert gradient.shared_weight[r, : objective.softmax].sum() == pytest.approx(2 * len(row.targets))


def test_the_output_table_has_a_row_a_bit():
    V = 71_290
    counts = np.arange(V, 0, -1)
    rows = {
        code: objectives.create(Config(objective="binary-code", code=code), counts).out_rows(V)
        for code in ("plain", "ecc", "hybrid", "hybrid-ecc")
    }
    assert rows == {"plain": 17, "ecc": 46, "hybrid": 513 + 17, "hybrid-ecc": 513 + 46}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"code_bits": 6}, "a code of 6 bits is too short for 100 words: give code_bits 7 or more"),
        ({"code": "ecc", "code_bits": 5}, "too short"),
        ({"code": "hybrid", "code_words": 100}, r"code_words \(100\) leaves no word to have a code: give at most 99"),
        ({"code": "hybrid", "code_words": 50, "code_bits": 5}, "too short for 50 words"),
    ],
    ids=str,
)
def test_codes_that_do_not_fit_the_vocabulary_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        objectives.create(Config(objective="binary-code", **options), np.arange(1, 101))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"code": "ecc"}, "code is binary-code's"),
        ({"code_words": 5}, "code_words is binary-code's"),
        ({"objective": "binary-code", "code_words": 5}, "code_words is for hybrid codes"),
        ({"objective": "binary-code", "code": "hybrid", "code_words": 0}, "code_words must be at least 1"),
        ({"objective": "binary-code", "code": "gray"}, "code must be one of plain, hybrid, ecc, hybrid-ecc"),
        ({"objective": "binary-code", "negative": 5}, "negative is"),
    ],
    ids=str,
)
def test_settings_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Config(**options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_bits": 5}, "too short for 50 words"),
        ({"rank": np.zeros(50, np.int32)}, "permutation"),
        ({"bias": np.zeros(7, np.float32)}, r"float32 \[6\]"),
        ({"bias": np.full(6, np.inf, np.float32)}, "finite"),
        ({"code_words": 50}, "code_words must lie in"),
    ],
    ids=str,
)
def test_objectives_that_kernels_could_not_bear_are_refused(changes, message):
    objective = dataclasses.replace(job_of("plain").objective, **changes)
    with pytest.raises(ValueError, match=message):
        objective.check(50)


@pytest.mark.parametrize("code", ["ecc", "hybrid"])
def test_static_weights_are_what_pairs_weigh(code):
    """Exactly on bits; in the softmax where it gives each word its share of the targets, as it does at first."""
    ids = zipf_ids(50, 20_000)
    counts = np.bincount(ids & contract.ID_MASK, minlength=50) + 1.0
    objective = by_frequency(counts, CODES[code].get("code_words", 0), 6, code == "ecc")
    job = make_job(tokens=ids, sample=0.0, chunk_size=2048, objective_value=objective)
    visit = visit_of(job, alpha=1.0, min_alpha=1.0)
    w_in, w_out = (np.zeros_like(table) for table in random_tables(job, 1))
    pairs, weights = np.zeros(50), np.zeros(len(w_out))
    for place in range(len(visit.chunks)):
        for tile in reference.tiles_of(job, visit, place):
            pairs += np.bincount([target for row in tile.rows for target in row.targets], minlength=50)
            for row, weight in reference.tile_updates(job, tile, w_in, w_out).w_out.weights.items():
                weights[row] += weight
    expected, softmax = job.objective.static_out_weight(pairs), job.objective.softmax
    np.testing.assert_allclose(weights[softmax:], expected[softmax:], rtol=1e-6)
    np.testing.assert_allclose(weights[:softmax], expected[:softmax], rtol=0.1)
