"""Distillation: backends against the reference, the gradient by differences, what is learnt, recorded and refused."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks.parity import hold, make_case, random_tables, reference_run
from tests.conftest import THEMES, share_of_right_neighbours
from w2vfast import backends, model_file, trainer
from w2vfast.backends import Choice
from w2vfast.config import Config
from w2vfast.errors import InputError, Stopped
from w2vfast.kernels import contract, reference
from w2vfast.kernels.teacher import Teacher
from w2vfast.kernels.triton import step as triton_step
from w2vfast.kernels.triton.config import tuning
from w2vfast.train import main

MODES = {
    "sg": {"mode": "sg"},
    "cbow": {"mode": "cbow"},
    "cbow-sum": {"mode": "cbow", "cbow_mean": False},
    "cbow-wide": {"mode": "cbow", "window": 20},
}
STEPS = {
    "torch": {"tokens_in_flight": 96, "row_cap": "batch"},
    "native": {"tokens_in_flight": 32, "row_cap": "tile"},
    "native-batches": {"tokens_in_flight": 96, "row_cap": "batch"},
}
WORDS = {"masked": 50, "uniform-weights": 1100}
TRAINED = {"vector_size": 16, "min_count": 1, "workers": 1, "sample": 0.0, "alpha": 0.05}


def native_or_skip(name):
    reason = backends.unavailable_reason(name)
    if reason is not None:
        pytest.skip(f"{name} cannot run here: {reason}")


def make_teacher(V, sizes=(7, 33), known=0.8, weight=0.6, temperature=1.7):
    rng = np.random.default_rng(5)
    models = [[(rng.normal(size=(V, D)) / D**0.25).astype(np.float32) for _ in range(2)] for D in sizes]
    return Teacher(tuple(map(tuple, models)), rng.random(V) < known, weight, temperature)


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STEPS)
def test_a_backend_equals_the_reference(name, mode, words):
    """Two models of other dimensions, words that they do not know, a row cap that binds, and, natively, every build."""
    native_or_skip(backend := name.partition("-")[0])
    V = WORDS[words]
    job, visit = make_case(
        words=V, length=300, shared_words=32, alpha=0.02, cap=0.5, teacher=make_teacher(V), **MODES[mode], **STEPS[name]
    )
    step, right = backends.module_of(backend), reference_run(job, visit, 9)
    if backend == "torch":
        assert hold(step.create_step, job, visit, 9, dtype=np.float64, right=right).error <= 1e-12
    else:
        for build in step.runnable_builds():
            assert hold(partial(step.create_step, build=build, poison=True), job, visit, 9, right=right).error <= 2e-5
    assert hold(step.create_step, replace(job, teacher=None), visit, 9, right=right).error > 1e-2


@pytest.mark.parametrize("mode", MODES)
def test_bfloat16_rounds_the_pupil_alone(mode):
    native_or_skip("native")
    native = backends.module_of("native")
    if "bfloat16" not in native.precisions("negative-sampling"):
        pytest.skip("this processor has no AVX512-BF16")
    ids = np.random.default_rng(3).permutation(400).astype(np.int32)
    keep = np.full(400, 2**32 - 1, np.uint32)
    job, visit = make_case(words=400, tokens=ids, keep_threshold=keep, teacher=make_teacher(400), **MODES[mode])
    right = random_tables(job, 33)
    right = right, reference.train(job, *right, visit, precision="bfloat16")
    create = partial(native.create_step, precision="bfloat16", poison=True)
    assert hold(create, job, visit, 33, right=right).error <= 1e-3


@pytest.mark.parametrize(("mode", "side"), [("sg", 0), ("sg", 1), ("cbow", 1), ("cbow-sum", 1)])
def test_steps_are_minus_the_gradient_of_the_loss(mode, side):
    job, visit = make_case(
        words=12, alpha=1.0, min_alpha=1.0, tile=8, shared_words=6, teacher=make_teacher(12), **MODES[mode]
    )
    tile, tables, h = reference.tiles_of(job, visit, 0)[0], random_tables(job, 3), 1e-5
    updates = reference.tile_updates(job, tile, *tables)
    steps = (updates.w_in, updates.w_out)[side].steps
    assert len(steps) > 3
    for row, step in steps.items():
        for d in range(3):
            loss = []
            for sign in (1, -1):
                moved = [table.copy() for table in tables]
                moved[side][row, d] += sign * h
                loss.append(reference.tile_updates(job, tile, *moved).loss)
            assert step[d] == pytest.approx((loss[1] - loss[0]) / (2 * h), rel=1e-6, abs=1e-7)


def test_the_label_is_the_mean_of_the_models_probabilities():
    """One pair of skip-gram, worked out by hand; of weight 0 nothing changes, nor where a word is not known."""
    job, visit = make_case(words=12, length=300, tile=8, shared_words=1, mode="sg", target_mask=False)
    tile = next(t for t in reference.tiles_of(job, visit, 0) if len(t.rows) > 0)
    row = replace(tile.rows[0], targets=[3])
    tile = replace(tile, rows=[row], shared_words=[5], learning_rate=1.0)
    tables, teacher = random_tables(job, 3), make_teacher(12, known=1.1)
    (word,) = row.inputs

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def step(teacher):
        return reference.tile_updates(replace(job, teacher=teacher), tile, *tables).w_in.steps[word]

    expected = 0.0
    for column, hard, weight in ((3, 1.0, 1.0), (5, 0.0, 5.0)):
        soft = np.mean([sigmoid(w_in[word] @ w_out[column] / 1.7) for w_in, w_out in teacher.models])
        prediction = sigmoid(tables[0][word] @ tables[1][column])
        expected = expected + weight * (0.4 * hard + 0.6 * soft - prediction) * tables[1][column]
    np.testing.assert_allclose(step(teacher), expected, rtol=1e-6)
    strange = teacher.known.copy()
    strange[word] = False
    for none in (replace(teacher, weight=0.0), replace(teacher, known=strange)):
        np.testing.assert_array_equal(step(none), step(None))


def test_a_teacher_that_kernels_could_not_bear_is_refused():
    job, _ = make_case()
    good = make_teacher(50)
    w_in, w_out = good.models[0]
    for bad, message in (
        (replace(good, models=()), "at least one model"),
        (replace(good, models=((w_in[:49], w_out),)), r"float32 \[50, 7\]"),
        (replace(good, models=((w_in, w_out.astype(np.float64)),)), "must be float32"),
        (replace(good, known=good.known[:49]), r"must be bool \[50\]"),
        (replace(good, weight=1.5), "weight lies in 0 .. 1"),
        (replace(good, temperature=0.0), "temperature above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            contract.check(replace(job, teacher=bad), *random_tables(job, 4))
    nce, _ = make_case(objective="nce", teacher=good)
    with pytest.raises(ValueError, match="a teacher is for negative-sampling, not for nce"):
        contract.check(nce, *random_tables(nce, 4))
    shared = replace(job, teacher=good, in_row=np.arange(50, dtype=np.int32))
    with pytest.raises(ValueError, match="must have rows of their own"):
        contract.check(shared, *random_tables(shared, 4))
    with pytest.raises(ValueError, match="triton backend has no teacher"):
        triton_step._check_supported(replace(job, teacher=good), tuning(None))


def train_model(path, sentences, **options):
    result = trainer.train_sentences(sentences, Config(backend="torch", **TRAINED | options))
    result.save_model(path)
    return str(path)


@pytest.fixture(scope="module")
def teachers(tmp_path_factory, themed_sentences):
    """Models by name: two that have learnt the themes, one of other words too, one that lacks some, others."""
    folder = tmp_path_factory.mktemp("teachers")
    kitchen = set(THEMES["kitchen"])
    without = [sentence for sentence in themed_sentences if not kitchen & set(sentence)]
    made = {
        "sg": (themed_sentences, {"vector_size": 24}),
        "sg-2": ([*themed_sentences, ["more", "words", "than", "these"]], {"vector_size": 12, "seed": 2}),
        "cbow": (themed_sentences, {"mode": "cbow"}),
        "cbow-sum": (themed_sentences[:50], {"mode": "cbow", "cbow_mean": False}),
        "without-kitchen": (without, {}),
        "nce": (themed_sentences[:50], {"objective": "nce"}),
        "foreign": ([["nothing", "in", "common"]] * 20, {}),
    }
    return {name: train_model(folder / f"{name}.safetensors", s, **options) for name, (s, options) in made.items()}


@pytest.mark.parametrize("mode", ["sg", "cbow"])
@pytest.mark.parametrize("backend", ["torch", "native"])
def test_a_pupil_learns_the_themes_from_a_teacher(backend, mode, themed_sentences, teachers):
    """Of a text without sense, a sentence of whose words no two go together: what is learnt is the teacher's."""
    native_or_skip(backend)
    rng = np.random.default_rng(2)
    words = [word for theme in THEMES.values() for word in theme]
    nonsense = [rng.choice(words, 8).tolist() for _ in range(800)]

    def taught(**options):
        result = trainer.train_sentences(nonsense, Config(backend=backend, mode=mode, **TRAINED | options))
        return share_of_right_neighbours(result.vocab.words, result.w_in)

    both = (teachers["sg"], teachers["sg-2"]) if mode == "sg" else (teachers["cbow"],)
    assert taught(teacher=both, teacher_weight=1.0, teacher_temperature=2.0) > 0.8
    assert taught() < 0.4


def test_the_order_of_words_is_not_the_files(teachers, themed_sentences):
    """A model of the same words in another order, and with more of them, teaches the same bits."""
    contents = model_file.load(teachers["sg"])
    rng = np.random.default_rng(0)
    order = rng.permutation(len(contents.words))
    w_in, w_out = contents.w_in[order], contents.w_out[order]
    other = Path(teachers["sg"]).with_name("other.safetensors")
    words, counts = [contents.words[i] for i in order], contents.counts[order]
    model_file.save(replace(contents, words=words, counts=counts, w_in=w_in, w_out=w_out), other)
    config = Config(backend="torch", teacher=(teachers["sg"],), **TRAINED)
    results = [
        trainer.train_sentences(themed_sentences[:100], replace(config, teacher=(str(path),)))
        for path in (teachers["sg"], other)
    ]
    np.testing.assert_array_equal(results[0].w_in, results[1].w_in)


def test_words_that_a_teacher_lacks_are_counted_or_learn_from_the_text(teachers, themed_sentences):
    config = Config(backend="torch", teacher=(teachers["sg"], teachers["without-kitchen"]), **TRAINED)
    with pytest.raises(InputError, match=r"has no 6 of the vocabulary's 24 words .*--teacher-partial"):
        trainer.train_sentences(themed_sentences, config)
    partial_ = replace(config, teacher_partial=True, epochs=10)
    result = trainer.train_sentences(themed_sentences, partial_)
    assert share_of_right_neighbours(result.vocab.words, result.w_in) > 0.9
    foreign = replace(config, teacher=(teachers["foreign"],), teacher_partial=True)
    with pytest.raises(InputError, match="no word of the vocabulary in common"):
        trainer.train_sentences(themed_sentences, foreign)


def test_what_is_trained_is_saved_without_the_teacher(teachers, themed_file, tmp_path, capsys):
    model, plain = tmp_path / "m.safetensors", tmp_path / "p.safetensors"
    flags = [
        str(themed_file),
        "-o",
        str(tmp_path / "v.bin"),
        "--backend",
        "torch",
        "--workers",
        "1",
        "--min-count",
        "1",
    ]
    taught = ["--teacher", teachers["sg"], "--teacher", teachers["sg-2"], "--teacher-weight", "0.25"]
    assert main([*flags, "--json", "--save-model", str(model), *taught]) == 0
    out, err = capsys.readouterr()
    settings = json.loads(out)["settings"]
    assert settings["teacher"] == [teachers["sg"], teachers["sg-2"]]
    assert (settings["teacher_weight"], settings["teacher_temperature"]) == (0.25, 1.0)
    assert "teacher_weight=0.25" in err
    assert main([*flags, "--save-model", str(plain)]) == 0
    assert abs(model.stat().st_size - plain.stat().st_size) < 1000
    assert main([*flags, "--teacher", str(model)]) == 0  # a pupil teaches


def test_a_run_goes_on_with_its_teacher_alone(teachers, tmp_path, themed_sentences):
    sentences = themed_sentences[:200]
    base = Config(backend="torch", teacher=(teachers["sg"],), epochs=4, **TRAINED)
    whole = trainer.train_sentences(sentences, base)
    first = replace(base, checkpoint=str(tmp_path / "state"), checkpoint_every=1e-6)
    calls = iter([False, True])
    with pytest.raises(Stopped):
        trainer.train_sentences(sentences, first, stop=partial(next, calls, True))
    again = replace(first, resume=True)
    for changes, message in (
        ({"teacher": (teachers["sg"], teachers["sg-2"])}, "other corpus .*teacher: "),
        ({"teacher": None}, "other corpus .*teacher: "),
        ({"teacher_weight": 0.75}, r"teacher_weight: 0\.\d+ / 0\.75"),
        ({"teacher_temperature": 2.0}, "teacher_temperature: 1.0 / 2.0"),
    ):
        with pytest.raises(InputError, match=message):
            trainer.train_sentences(sentences, replace(again, **changes))
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes(Path(teachers["sg"]).read_bytes())
    resumed = trainer.train_sentences(sentences, replace(again, teacher=(str(moved),)))
    np.testing.assert_array_equal(resumed.w_in, whole.w_in)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nce", [], "must be log odds against the noise, which nce does not learn"),
        ("cbow", [], "it was trained with mode cbow, this run has sg"),
        ("sg", ["--mode", "cbow"], "it was trained with mode sg, this run has cbow"),
        ("cbow", ["--mode", "cbow", "--no-cbow-mean"], "cbow_mean True, this run has False"),
        ("without-kitchen", [], "has no 6 of the vocabulary's 24 words"),
        ("sg", ["--objective", "nce"], "teacher is negative-sampling's"),
        ("sg", ["--buckets", "12"], "buckets does not go with teacher"),
        ("sg", ["--teacher-weight", "1.5"], "teacher_weight must be at least 0 and at most 1"),
        ("sg", ["--teacher-temperature", "0"], "teacher_temperature must be above 0"),
        (None, ["--teacher-weight", "0.7"], "name its model with teacher too"),
        (None, ["--teacher-partial"], "name its model with teacher too"),
        (None, ["--teacher", "missing.safetensors"], "cannot read missing.safetensors"),
        (None, ["--teacher", "vectors.safetensors"], "holds no model: train it with --save-model"),
        (None, ["--teacher", "cut.safetensors"], "truncated or broken"),
    ],
)
def test_bad_input_is_told_in_a_line(name, options, message, teachers, themed_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = {**TRAINED, "epochs": 1, "backend": "torch"}
    if "vectors.safetensors" in options:
        flags = ["--backend", "torch", "--workers", "1", "--epochs", "1", "--min-count", "1"]
        assert main([str(themed_file), "-o", "vectors.safetensors", *flags]) == 0
        capsys.readouterr()
    Path("cut.safetensors").write_bytes(Path(teachers["sg"]).read_bytes()[:-100])
    teacher = ["--teacher", teachers[name]] if name is not None else []
    flags = ["--backend", small["backend"], "--workers", "1", "--min-count", "1"]
    assert main([str(themed_file), "-o", "v.bin", *flags, *teacher, *options]) == 2
    out, err = capsys.readouterr()
    assert (out, Path("v.bin").exists(), len(err.splitlines())) == ("", False, 1)
    assert message in err


def test_where_it_is_not(monkeypatch, teachers):
    config = Config(teacher=(teachers["sg"],))
    with pytest.raises(InputError, match="has no teacher: take --backend native or torch"):
        backends.require(Choice("triton", "cuda", "asked for"), config)
    with pytest.raises(InputError, match="teacher must be a tuple of file names"):
        Config(teacher=teachers["sg"])
    with pytest.raises(InputError, match="teacher must be a tuple of file names"):
        Config(teacher=())
