"""Models saved whole and loaded again, what they predict, and how held-out text measures them."""

import dataclasses
import json
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.special import logsumexp

import w2vfast
from tests.conftest import THEMES
from w2vfast import Config, InputError, formats, model_file, plan, predictions
from w2vfast.config import ObjectiveName
from w2vfast.eval import prediction as evaluation
from w2vfast.eval.__main__ import main as eval_main
from w2vfast.prediction import Model
from w2vfast.train import main as train_main
from w2vfast.trainer import train_sentences

# margin is skip-gram's alone and von-mises-fisher needs a file: the documents' lines below train and measure them.
OBJECTIVES = [name for name in get_args(ObjectiveName) if name not in ("margin", "von-mises-fisher")]
SETTINGS = {"vector_size": 12, "min_count": 1, "workers": 1, "seed": 3, "epochs": 10, "sample": 0, "window": 3}


def trained(sentences, **options):
    return train_sentences(sentences, Config(**SETTINGS | options))


class Saved(dict):
    """A model file for each (objective, mode) that is asked for, with the result that it came from."""

    def __init__(self, sentences, folder):
        super().__init__()
        self.sentences, self.folder = sentences, folder

    def __missing__(self, key):
        objective, mode = key
        result = trained(self.sentences, objective=objective, mode=mode)
        path = self.folder / f"{objective}-{mode}.safetensors"
        result.save_model(path)
        self[key] = path, result
        return self[key]


@pytest.fixture(scope="module")
def saved(themed_sentences, tmp_path_factory):
    return Saved(themed_sentences, tmp_path_factory.mktemp("models"))


def same_fields(a, b):
    """Hold two values of an objective equal, field by field."""
    assert type(a) is type(b)
    for field in dataclasses.fields(a):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if dataclasses.is_dataclass(one):
            same_fields(one, other)
        elif isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other
            assert type(one) is type(other)


@pytest.mark.parametrize("mode", ["sg", "cbow"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_model_comes_back_as_it_was(saved, objective, mode):
    path, result = saved[objective, mode]
    model = w2vfast.load_model(path)
    assert model.words == result.vocab.words
    np.testing.assert_array_equal(model.counts, result.vocab.counts)
    np.testing.assert_array_equal(model.w_in, result.w_in)
    np.testing.assert_array_equal(model.w_out, result.w_out)
    assert model.settings == json.loads(json.dumps(result.settings))
    same_fields(model.objective, result.objective)
    assert objective in repr(model)
    vectors = formats.load_vectors(path)
    assert vectors.words == model.words
    np.testing.assert_array_equal(vectors.vectors, model.vectors().vectors)
    np.testing.assert_array_equal(vectors.counts, model.counts)
    model.save(path.with_name("again.safetensors"))
    assert path.with_name("again.safetensors").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("mode", ["sg", "cbow"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_predicts_words_of_the_context(saved, objective, mode):
    model = w2vfast.load_model(saved[objective, mode][0])
    contexts = [words[:3] for words in THEMES.values()]
    batch = model.predict(contexts, topn=6)
    exact = objective != "binary-code"  # whose 5 bits cannot tell 24 equally frequent words apart by theme
    for words, found in zip(THEMES.values(), batch, strict=True):
        assert not exact or {word for word, _ in found} == set(words)
    assert [word for word, _ in model.predict(contexts[1], topn=6)] == [word for word, _ in batch[1]]
    everything = model.predict([*contexts[0], "never seen"], topn=1000)
    numbers = [number for _, number in everything]
    assert len(everything) == len(model.words)
    assert numbers == sorted(numbers, reverse=True)
    if model.probabilities:
        assert sum(numbers) == pytest.approx(1)
        assert not exact or sum(numbers[:6]) > 0.8


def test_rows_are_made_as_training_makes_them(saved):
    contexts = [[3], [1, 4, 1], [0, 2]]
    for mode, mean in (("sg", True), ("cbow", True), ("cbow", False)):
        model = w2vfast.load_model(saved["negative-sampling", mode][0])
        model.settings["cbow_mean"] = mean
        expected = [model.w_in[ids].astype(float).sum(axis=0) / (len(ids) if mean else 1) for ids in contexts]
        np.testing.assert_allclose(model.left(contexts), expected, rtol=1e-12)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_probabilities_of_all_words_sum_to_one(saved, objective):
    model = w2vfast.load_model(saved[objective, "sg"][0])
    left = np.random.default_rng(0).normal(size=(7, model.w_in.shape[1])) * 5
    scores = model.scores(left)
    assert scores.shape == (7, len(model.words))
    assert scores.dtype == np.float64
    if model.probabilities:
        np.testing.assert_allclose(logsumexp(scores, axis=1), 0, atol=1e-12)


def test_negative_sampling_is_corrected_by_its_noise(saved):
    model = w2vfast.load_model(saved["negative-sampling", "sg"][0])
    left = model.left([[0], [1, 2]])
    dots = left @ model.w_out.T.astype(float)
    weight = np.exp(dots) * (model.counts**0.75 / (model.counts**0.75).sum())
    np.testing.assert_allclose(np.exp(model.scores(left)), weight / weight.sum(axis=1, keepdims=True), rtol=1e-9)
    plain = np.exp(dots) / np.exp(dots).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(model.scores(left, correction=False)), plain, rtol=1e-9)


def test_uncorrected_is_gensims(saved, themed_sentences):
    from gensim.models import Word2Vec

    path, _ = saved["negative-sampling", "cbow"]
    model = w2vfast.load_model(path)
    theirs = Word2Vec(vector_size=12, min_count=1, workers=1)
    theirs.build_vocab(themed_sentences)
    assert theirs.wv.index_to_key == model.words
    theirs.wv.vectors, theirs.syn1neg = model.w_in, model.w_out
    context = THEMES["sea"][:2]
    expected = theirs.predict_output_word(context, topn=8)
    found = model.predict(context, topn=8, correction=False)
    assert [word for word, _ in found] == [word for word, _ in expected]
    np.testing.assert_allclose([p for _, p in found], [p for _, p in expected], rtol=1e-4)


def test_bad_contexts_are_named(saved):
    model = w2vfast.load_model(saved["nce", "sg"][0])
    for context, message in (
        ("ship", "a list of words"),
        ([["ship"], "oven"], "all contexts must be lists"),
        (["zebra"], "none of the words"),
        ([["ship"], []], "none of the words"),
        ([], "none of the words"),
    ):
        with pytest.raises(InputError, match=message):
            model.predict(context)
    with pytest.raises(InputError, match="topn"):
        model.predict(["ship"], topn=0)
    with pytest.raises(InputError, match="nce has no correction"):
        model.predict(["ship"], correction=False)


def resaved(path, target, change):
    """Write a model's file again after `change(tensors, metadata)`."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors, metadata)
    save_file(tensors, target, metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, m: m.update(version="99"), "version 99"),
        (lambda t, m: m.pop("format"), "holds no model"),
        (lambda t, m: m.update(objective="guessing"), "no objective 'guessing'"),
        (lambda t, m: m.update(objective="logistic"), "no objective 'logistic'"),
        (lambda t, m: m.update(fields="{}"), "is missing"),
        (lambda t, m: m.update(settings="{"), "do not fit"),
        (lambda t, m: t.pop("w_out"), "'w_out' is missing"),
        (lambda t, m: t.pop("objective.noise.prob"), "is missing"),
        (lambda t, m: t.update(w_out=t["w_out"][:-1]), "w_out is"),
        (lambda t, m: t.update(w_out=t["w_out"][:, :-1]), "w_out is"),
        (lambda t, m: t.update(vectors=t["vectors"].astype(np.float64)), "float64"),
        (lambda t, m: t.update(vectors=t["vectors"][:-1]), "vectors is"),
        (lambda t, m: t.update(vectors=t["vectors"] * np.nan), "NaN"),
        (lambda t, m: t.update(counts=t["counts"][1:]), "counts is"),
        (lambda t, m: t.update(offsets=t["offsets"][:-1]), "offsets"),
        (lambda t, m: t["offsets"].__setitem__(1, 10**6), "offsets"),
        (lambda t, m: t["words"].__setitem__(0, 0xFF), "utf-8"),
        (lambda t, m: t.update({"objective.noise.alias": t["objective.noise.alias"] + 50}), "outside the vocabulary"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(saved, tmp_path, change, message):
    path, _ = saved["negative-sampling", "sg"]
    resaved(path, tmp_path / "m.safetensors", change)
    with pytest.raises(InputError, match=message) as error:
        w2vfast.load_model(tmp_path / "m.safetensors")
    assert "\n" not in str(error.value)
    assert "m.safetensors" in str(error.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(saved, tmp_path, share):
    data = saved["nce", "cbow"][0].read_bytes()
    path = tmp_path / "m.safetensors"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match="truncated or broken"):
        w2vfast.load_model(path)


def test_what_is_no_model_is_refused(tmp_path, saved):
    path = tmp_path / "v.safetensors"
    formats.save_vectors(saved["nce", "sg"][1].vectors, path)
    with pytest.raises(InputError, match="--save-model"):
        w2vfast.load_model(path)
    with pytest.raises(InputError, match="cannot read"):
        w2vfast.load_model(tmp_path / "missing.safetensors")


def test_a_failed_save_leaves_the_old_file(saved, tmp_path, monkeypatch):
    _, result = saved["nce", "sg"]
    path = tmp_path / "m.safetensors"
    result.save_model(path)
    before = path.read_bytes()
    monkeypatch.setattr(model_file, "pieces", lambda *rest: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(InputError, match="disk full"):
        result.save_model(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]


@dataclasses.dataclass(frozen=True, eq=False)
class _Inner:
    bits: np.ndarray
    size: int


@dataclasses.dataclass(frozen=True, eq=False)
class _Outer:
    inner: _Inner
    other: _Inner | None
    rate: float
    label: str
    on: bool
    computed: float = dataclasses.field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "computed", self.rate * 2)


def test_any_value_is_taken_apart_and_put_together():
    for bits in (np.arange(6, dtype=np.uint8).reshape(2, 3), np.array([True, False]), np.zeros(0, np.int64)):
        for other in (None, _Inner(bits, 4)):
            value = _Outer(_Inner(bits, 3), other, 0.5, "a", True)
            arrays, rest = model_file.take_apart(value)
            assert "computed" not in rest
            same_fields(model_file._put_together(_Outer, arrays, json.loads(json.dumps(rest))), value)


@pytest.mark.parametrize("objective", get_args(ObjectiveName))
def test_every_objective_has_its_distribution(objective):
    module = predictions.module_of(objective)
    assert isinstance(module.PROBABILITIES, bool)
    assert callable(module.scores)
    assert model_file._class_of(objective).name == objective


def test_the_command_saves_a_model_and_evaluates_it(themed_file, tmp_path, capsys):
    model, output = tmp_path / "m.safetensors", tmp_path / "v.bin"
    argv = [str(themed_file), "-o", str(output), "--save-model", str(model), "--min-count", "1", "--sample", "0"]
    assert train_main([*argv, "--vector-size", "12", "--epochs", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == str(model)
    assert train_main([*argv, "--vector-size", "12", "--epochs", "2"]) == 0
    assert f"model: {model}" in capsys.readouterr().out
    assert eval_main(["prediction", str(model), str(themed_file), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["objective"] == "negative-sampling"
    assert measured["nll"] < measured["unigram"]
    assert eval_main(["prediction", str(model), str(themed_file), "--pairs", "500"]) == 0
    said = capsys.readouterr().out
    assert "perplexity" in said
    assert "pairs of every" in said
    assert eval_main(["neighbours", str(model), "ship"]) == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [("m.bin", "suffix"), ("nowhere/m.safetensors", "does not exist"), ("v.safetensors", "another file")],
)
def test_where_no_model_can_go_is_said_before_training(themed_file, tmp_path, capsys, name, message):
    argv = [str(themed_file), "-o", str(tmp_path / "v.safetensors"), "--save-model", str(tmp_path / name)]
    assert train_main(argv) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "v.safetensors").exists()


DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "output-layers.md"


@pytest.mark.parametrize("objective", get_args(ObjectiveName))
def test_the_documents_line_of_each_objective_runs(themed_file, tmp_path, monkeypatch, objective):
    text = DOCUMENT.read_text()
    assert f"| `{objective}` |" in text
    (section,) = re.findall(rf"^### {objective}\n(.*?)(?=^### |\Z)", text, re.MULTILINE | re.DOTALL)
    (line,) = re.findall(r"^    python -m w2vfast\.train (.+)$", section, re.MULTILINE)
    assert f"--objective {objective}" in line
    monkeypatch.chdir(tmp_path)
    themed_file.rename("corpus.txt")
    words = [word for theme in THEMES.values() for word in theme]
    Path("classes.txt").write_text("".join(f"{word} {word[0]}\n" for word in words))
    vectors = np.random.default_rng(0).normal(size=(len(words), 8)).astype(np.float32)
    formats.save_vectors(formats.Vectors(words, vectors), "vectors.bin")
    small = ["--min-count", "1", "--vector-size", "8", "--epochs", "1", "--workers", "1"]
    assert train_main([*line.split(), *small, "-o", "out.bin", "--save-model", "whole.safetensors"]) == 0
    assert eval_main(["prediction", "whole.safetensors", "corpus.txt", "--sample", "0", "--pairs", "100"]) == 0


def brute_force(model, sentences, window):
    """Return (context ids, target) of every pair, as the definition of evaluation has it."""
    found = []
    for sentence in sentences:
        ids = [model.rows[word] for word in sentence if word in model.rows]
        for i, centre in enumerate(ids):
            others = ids[max(0, i - window) : i] + ids[i + 1 : i + 1 + window]
            if model.settings["mode"] == "cbow":
                found += [(others, centre)] if others else []
            else:
                found += [([centre], other) for other in others]
    return found


@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_measures_are_those_of_every_pair_alone(saved, tmp_path, mode):
    model = w2vfast.load_model(saved["nce", mode][0])
    text = tmp_path / "held.txt"
    text.write_text("ship sailor unknown harbour oven\nbread\n\nmoon oven unknown\nchord ship wave ship ship comet\n")
    sentences = [line.split() for line in text.read_text().splitlines()]
    measured = evaluation.evaluate(model, text)
    pairs = brute_force(model, sentences, 3)
    assert measured["pairs"] == measured["pairs_total"] == len(pairs)
    assert measured["tokens"] == {"read": 15, "in_vocabulary": 13, "kept": 13}
    scores = model.scores(model.left([context for context, _ in pairs]))
    targets = np.array([target for _, target in pairs])
    of_target = scores[np.arange(len(pairs)), targets]
    assert measured["nll"] == pytest.approx(-of_target.mean())
    assert measured["perplexity"] == pytest.approx(np.exp(-of_target.mean()))
    rank = (scores >= of_target[:, None]).sum(axis=1)
    assert 0 < measured["top1"] == pytest.approx((rank <= 1).mean())
    assert measured["top10"] == pytest.approx((rank <= 10).mean())
    z = logsumexp(model.left([context for context, _ in pairs]) @ model.w_out.T.astype(float), axis=1)
    assert measured["log_z"] == pytest.approx({"mean": z.mean(), "sd": z.std(), "trained": 0.0})
    share = model.counts / model.counts.sum()
    assert measured["unigram"] == pytest.approx(-np.log(share[targets]).mean())
    assert measured["outside"] is None


@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_a_bound_takes_every_kth_row(saved, themed_file, mode):
    model = w2vfast.load_model(saved["negative-sampling", mode][0])
    whole = evaluation.evaluate(model, themed_file, pairs=10**9)
    some = evaluation.evaluate(model, themed_file, pairs=3000)
    assert 2000 < some["pairs"] <= 3000
    assert some["pairs_total"] == whole["pairs"] == whole["pairs_total"]
    assert some["every"] > whole["every"] == 1
    assert some["nll"] == pytest.approx(whole["nll"], abs=0.1)
    assert some == evaluation.evaluate(model, themed_file, pairs=3000) | {"seconds": some["seconds"]}


def test_text_is_subsampled_as_training_does(saved, themed_file):
    model = w2vfast.load_model(saved["nce", "sg"][0])
    keep = plan.keep_probability(model.counts, 1e-2)
    measured = evaluation.evaluate(model, themed_file, sample=1e-2)
    expected = float(model.counts @ keep)
    assert measured["tokens"]["kept"] == pytest.approx(expected, rel=0.05)
    assert expected < 0.8 * measured["tokens"]["in_vocabulary"]
    assert evaluation.evaluate(model, themed_file)["tokens"]["kept"] == measured["tokens"]["read"]


def test_an_untrained_model_ranks_nothing(saved, themed_file):
    """All words have equal scores: ties must not count as found."""
    contents = model_file.load(saved["nce", "sg"][0])
    zero = Model(dataclasses.replace(contents, w_out=np.zeros_like(contents.w_out)))
    measured = evaluation.evaluate(zero, themed_file)
    assert measured["top1"] == measured["top10"] == 0
    assert measured["perplexity"] == pytest.approx(len(zero.words))


def test_bad_input_of_evaluation(saved, tmp_path, capsys):
    model = saved["nce", "sg"][0]
    (tmp_path / "alone.txt").write_text("ship\noven\n")
    (tmp_path / "other.txt").write_text("zebra lion\n")
    for name, more, message in (
        ("alone.txt", [], "no pair"),
        ("other.txt", [], "none of the 2 words"),
        ("missing.txt", [], "missing.txt"),
        ("alone.txt", ["--pairs", "0"], "pairs must be at least 1"),
        ("alone.txt", ["--window", "0"], "window must be at least 1"),
        ("alone.txt", ["--sample", "-1"], "sample must be at least 0"),
    ):
        assert eval_main(["prediction", str(model), str(tmp_path / name), *more]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1


def test_codes_are_decoded_to_words(themed_sentences, tmp_path):
    """Every code of bits comes to a word, that of a context mostly to one of its theme; other objectives have none."""
    result = trained(themed_sentences, objective="binary-code", code="ecc", mode="cbow", alpha=0.1)
    result.save_model(tmp_path / "m.safetensors")
    model = w2vfast.load_model(tmp_path / "m.safetensors")
    contexts = [[word for word in words if word != left_out] for words in THEMES.values() for left_out in words]
    decoded = model.decode(contexts)
    assert len(decoded) == len(contexts)
    theme = {word: name for name, words in THEMES.items() for word in words}
    right = sum(theme[word] == theme[context[0]] for word, context in zip(decoded, contexts, strict=True))
    assert right > len(contexts) / 2
    with pytest.raises(InputError, match="none of the words"):
        model.decode([["no such word"]])
    plain = trained(themed_sentences)
    plain.save_model(tmp_path / "plain.safetensors")
    with pytest.raises(InputError, match="negative-sampling predicts no codes"):
        w2vfast.load_model(tmp_path / "plain.safetensors").decode([["ship"]])
