"""Class-based softmax: its gradient, its extremes, its classes, its probabilities, and files of classes."""

import dataclasses

import numpy as np
import pytest

from benchmarks.parity import hold, make_job, random_tables, visit_of
from tests.conftest import MODES
from tests.test_kernels import numeric_gradient
from w2vfast import classes, objectives, trainer
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.kernels import reference
from w2vfast.kernels.native import step as native_step
from w2vfast.kernels.objectives.class_softmax import ClassSoftmax, classes_by_frequency
from w2vfast.kernels.torch import step as torch_step
from w2vfast.predictions import class_softmax as prediction

V = 30


def objective_of(kind):
    """Return an objective of V words: all in one class, one a class, or in seven of mixed size and order."""
    numbers = {"one": np.zeros(V), "each": np.arange(V)[::-1], "mixed": np.arange(V) ** 2 % 11}[kind]
    return ClassSoftmax(np.unique(numbers, return_inverse=True)[1].astype(np.int32))


def first_tile(job):
    return reference.tiles_of(job, visit_of(job, alpha=1.0, min_alpha=1.0), 0)[0]


@pytest.mark.parametrize("mode", ["sg", "cbow-sum"])
@pytest.mark.parametrize("side", [0, 1])
def test_steps_are_minus_the_gradient_of_the_loss(mode, side):
    if mode == "cbow-sum" and side == 0:
        mode = "sg"
    job = make_job(words=V, tile=8, objective_value=objective_of("mixed"), **MODES[mode])
    tile, tables = first_tile(job), random_tables(job, 3)
    updates = reference.tile_updates(job, tile, *tables)
    steps = (updates.w_in, updates.w_out)[side].steps
    assert len(steps) > 5
    for row, step in steps.items():
        for d in range(3):
            assert step[d] == pytest.approx(-numeric_gradient(job, tile, tables, side, row, d), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("kind", ["one", "each"])
def test_one_class_or_one_word_a_class_equals_the_softmax(kind):
    """Against a softmax written out here, pair by pair: loss and every gradient."""
    job = make_job(words=V, objective_value=objective_of(kind))
    tile, (w_in, w_out) = first_tile(job), random_tables(job, 5)
    C = job.objective.classes
    assert (1 if kind == "one" else V) == C
    row_of = C + np.arange(V) if kind == "one" else np.asarray(job.objective.class_of)
    right = w_out[row_of]
    d_in, d_out, loss = np.zeros_like(w_in), np.zeros_like(w_out), 0.0
    for row in tile.rows:
        (word,) = row.inputs
        p = np.exp(right @ w_in[word])
        p /= p.sum()
        for target in row.targets:
            g = -p
            g[target] += 1
            loss -= np.log(p[target])
            d_in[word] += g @ right
            d_out[row_of] += np.outer(g, w_in[word])
    updates = reference.tile_updates(job, tile, w_in, w_out)
    assert updates.loss == pytest.approx(loss, rel=1e-12)
    for side, right_steps in ((updates.w_in, d_in), (updates.w_out, d_out)):
        steps = np.zeros_like(right_steps)
        for row, step in side.steps.items():
            steps[row] = step
        np.testing.assert_allclose(steps, right_steps, atol=1e-12)


@pytest.mark.parametrize("kind", ["one", "each", "mixed"])
@pytest.mark.parametrize("mode", ["sg", "cbow-mean"])
@pytest.mark.parametrize("create", [torch_step.create_step, native_step.create_step], ids=["torch", "native"])
def test_backends_equal_the_reference_at_the_extremes(create, mode, kind):
    job = make_job(words=V, length=400, objective_value=objective_of(kind), **MODES[mode])
    assert hold(create, job, visit_of(job), 17).error <= 2e-5


@pytest.mark.parametrize("build", native_step.runnable_builds())
def test_classes_of_several_blocks(build):
    """600 words in a class and 100 in another: native scores a class in blocks of 256."""
    objective = ClassSoftmax((np.arange(700) % 7 == 3).astype(np.int32))
    job = make_job(words=700, length=150, objective_value=objective)

    def create(*given):
        return native_step.create_step(*given, build=build, poison=True)

    assert hold(create, job, visit_of(job), 20).error <= 2e-5


def test_probabilities_sum_to_one_and_are_the_losss():
    job = make_job(words=V, objective_value=objective_of("mixed"))
    tile, (w_in, w_out) = first_tile(job), random_tables(job, 5)
    log_p = prediction.scores(job.objective, w_in, w_out)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, rtol=1e-12)
    loss = -sum(log_p[row.inputs[0], target] for row in tile.rows for target in row.targets)
    assert reference.tile_updates(job, tile, w_in, w_out).loss == pytest.approx(loss, rel=1e-12)


def cost(class_of, p):
    sizes, mass = np.bincount(class_of), np.bincount(class_of, weights=p)
    return len(sizes) + float(mass @ sizes)


@pytest.mark.parametrize("words", [2, 3, 100, 20_000])
def test_classes_by_frequency_cost_less_than_others_do(words):
    """Beside classes of equal mass in any number, and of equal size: the cost of a pair is C + its class's words."""
    p = 1 / np.arange(1, words + 1)
    p = np.random.default_rng(0).permutation(p / p.sum())
    ours = classes_by_frequency(p)
    assert ours.dtype == np.int32
    assert sorted(set(ours.tolist())) == list(range(ours.max() + 1))
    order = np.argsort(-p, kind="stable")
    assert (np.diff(ours[order]) >= 0).all()  # no class of frequent words comes after one of rarer ones
    if words < 100:
        return
    root = round(np.sqrt(words))
    for others in (root // 2, root, 2 * root):
        equal_mass = np.empty(words, np.int64)
        equal_mass[order] = np.unique(((np.cumsum(p[order]) - p[order] / 2) * others).astype(int), return_inverse=True)[
            1
        ]
        assert cost(ours, p) < cost(equal_mass, p)
        assert cost(ours, p) < cost(np.arange(words) * others // words, p)


def test_words_that_never_occur_have_a_class():
    objective = objectives.create(Config(objective="class-softmax"), np.array([9, 0, 0, 4]))
    objective.check(4)


def test_objectives_that_kernels_could_not_bear_are_refused():
    with pytest.raises(ValueError, match=r"int32 \[31\]"):
        objective_of("mixed").check(V + 1)
    with pytest.raises(ValueError, match="no words"):
        ClassSoftmax(np.array([0, 2], np.int32)).check(2)
    with pytest.raises(ValueError, match="numbered from 0"):
        ClassSoftmax(np.array([0, -1], np.int32))


def write(tmp_path, text):
    path = tmp_path / "classes.txt"
    path.write_text(text)
    return str(path)


def test_a_file_of_classes_is_what_is_trained(tmp_path):
    path = write(tmp_path, "b noun\na verb\n\nc noun\n")
    assert classes.number(path, ["a", "b", "c"]).tolist() == [0, 1, 1]
    config = Config(objective="class-softmax", classes=path, min_count=1, vector_size=4, epochs=1, backend="torch")
    result = trainer.train_sentences([["a", "b", "c", "a"]] * 3, config)
    assert result.w_out.shape == (2 + 3, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a x\nb x\n", r"1 word \(c\) is missing"),
        ("a x\nb x\nc y\nd y\ne y\n", r"2 words \(d, e\) are not in the vocabulary"),
        ("a x\nz y\n", r"2 words \(b, c\) are missing.*1 word \(z\) is not in the vocabulary"),
        ("a x\nb x\na y\nb y\nc y\n", r"2 words \(a, b\) are more than once"),
        ("a x\nb\nc y\n", r"line 2: expected 'word class'"),
        ("", r"3 words \(a, b, c\) are missing"),
        ("".join(f"w{i} x\n" for i in range(9)), r"9 words \(w0, w1, w2, w3, w4, \.\.\.\) are not"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        classes.number(write(tmp_path, text), ["a", "b", "c"])
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read_are_refused_before_the_text_is(tmp_path):
    config = Config(objective="class-softmax", classes=str(tmp_path / "none"), backend="torch")
    with pytest.raises(InputError, match="cannot read the classes"):
        trainer.train_files([str(tmp_path / "no text")], config)
    (tmp_path / "latin").write_bytes("é x\n".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        classes.read(str(tmp_path / "latin"))


def test_classes_go_with_their_objective_and_with_words(tmp_path):
    with pytest.raises(InputError, match="classes is class-softmax's"):
        Config(classes="x")
    with pytest.raises(InputError, match="goes by the words"):
        objectives.create(Config(objective="class-softmax", classes="x"), np.ones(3, np.int64))


def test_values_are_frozen_and_made_again_from_their_fields():
    objective = objective_of("mixed")
    again = dataclasses.replace(objective)
    np.testing.assert_array_equal(again.members, objective.members)
    with pytest.raises(dataclasses.FrozenInstanceError):
        objective.classes = 3


def test_static_weights_are_what_pairs_weigh():
    """Where the scores are such that every word has its share of the targets, a pair weighs 1 as target, 1 as mass."""
    job = make_job(words=V, length=4000, objective_value=objective_of("mixed"), chunk_size=2048)
    objective, visit = job.objective, visit_of(job, alpha=1.0, min_alpha=1.0)
    tiles = [tile for place in range(len(visit.chunks)) for tile in reference.tiles_of(job, visit, place)]
    pairs = sum(np.bincount([t for row in tile.rows for t in row.targets], minlength=V) for tile in tiles).astype(float)
    of_class = np.bincount(objective.class_of, weights=pairs)
    w_in, w_out = np.ones((V, 1)), np.log(np.maximum(np.concatenate([of_class, pairs]), 1e-9))[:, None]
    weights = np.zeros(len(w_out))
    for tile in tiles:
        for row, weight in reference.tile_updates(job, tile, w_in, w_out).w_out.weights.items():
            weights[row] += weight
    np.testing.assert_allclose(weights, objective.static_out_weight(pairs), rtol=1e-5)
