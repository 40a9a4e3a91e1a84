"""Every option of Config, through every door: it changes what is done, or it is refused in one line; none is ignored.

The doors are `train_files`, `train_sentences` and the command, which must come to the same. An option without a case
here fails the first test.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from w2vfast import backends, trainer
from w2vfast.command import option_words
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.formats import load_vectors
from w2vfast.train import main

# torch: it runs wherever the tests do, and honours the most.
BASE = {"backend": "torch", "device": "cpu", "vector_size": 8, "epochs": 2, "workers": 1, "sample": 1e-2, "alpha": 0.05}
BASE |= {"min_count": 1}
# Pairs that agree with the themes the less, the more is learnt, and some others.
FALLING = "ship sailor 1\nbread oven 1\nmoon orbit 2\nviolin piano 2\nship oven 8\nbread moon 9\norbit piano 8\n"
OTHER = "ship wave 5\nbread cake 4\nmoon cake 3\nwave oven 2\n"
SCORED = {"eval_every": 1.0, "eval_set": "falling.tsv", "epochs": 4}
VOCABULARY = "ship 300\nbread 200\nmoon 100\nviolin 90\n"


@dataclass(frozen=True)
class Case:
    """An option's value, and what of a run's outcome it changes, or why it is refused; `besides` are given with it."""

    option: str
    value: Any
    changes: str = "vectors"
    besides: dict[str, Any] = field(default_factory=dict)
    refused: str = ""


CASES = [
    Case("mode", "cbow"),
    Case("vector_size", 9),
    Case("window", 2),
    Case("objective", "nce"),
    Case("negative", 9),
    Case("negative", 9, besides={"objective": "nce"}),
    Case("sample", 0.0),
    Case("min_count", 2, "vocabulary"),
    Case("max_vocab_size", 12, "vocabulary"),
    Case("max_vocab_size", 12, besides={"read_vocab": "vocabulary.txt"}, refused="max_vocab_size"),
    Case("max_final_vocab", 12, "vocabulary"),
    Case("epochs", 3),
    Case("alpha", 0.02),
    Case("min_alpha", 0.01),
    Case("ns_exponent", -0.5),
    Case("log_z", 3.0, besides={"objective": "nce"}),
    Case("log_z", 3.0, refused="log_z is nce's"),
    Case("cbow_mean", False, besides={"mode": "cbow"}),
    Case("cbow_mean", False, refused="cbow_mean is cbow's"),
    Case("shrink_windows", False),
    Case("seed", 2),
    Case("workers", 2, "threads", besides={"epochs": 1}),
    Case("workers", 2, "tokens_in_flight", besides={"backend": "native"}),
    Case("backend", "native", "backend"),
    Case("device", "mps", refused="device mps is not present: PyTorch sees cpu"),
    Case("device", "cuda", besides={"backend": "native"}, refused="native backend runs on cpu, not on cuda"),
    Case("preset", "fast"),
    Case("preset", "fast", besides={"tile": 8, "shared_negatives": 8}, refused="preset fast chooses"),
    Case("tile", 8),
    Case("shared_negatives", 8),
    Case("tokens_in_flight", 320),
    Case("tokens_in_flight", 320, besides={"backend": "native"}, refused="native backend keeps one tile a worker"),
    Case("cap", 0.01),
    Case("eval_every", 0.5, "scores", besides=SCORED),
    Case("eval_every", 3.0, refused="eval_every .3. is past the run's 2 epochs"),
    Case("eval_set", "other.tsv", "scores", besides=SCORED),
    Case("eval_set", "other.tsv", refused="give eval_every too"),
    Case("eval_set", "missing.tsv", besides=SCORED, refused="missing.tsv"),
    Case("keep_best", True, besides=SCORED),
    Case("keep_best", True, refused="give eval_every too"),
    Case("patience", 1, "epochs_visited", besides=SCORED),
    Case("patience", 1, refused="give eval_every too"),
    Case("cache_dir", "nowhere", besides={"cache_above": 0}, refused="nowhere"),
    Case("cache_above", 0, besides={"cache_dir": "nowhere"}, refused="nowhere"),
    Case("save_vocab", "saved.txt", "saved_vocabulary"),
    Case("save_vocab", "nowhere/saved.txt", refused="nowhere"),
    Case("read_vocab", "vocabulary.txt", "vocabulary"),
    Case("read_vocab", "missing.txt", refused="missing.txt"),
]


def test_every_option_has_a_case() -> None:
    assert {case.option for case in CASES} == {option.name for option in dataclasses.fields(Config)}


@pytest.fixture(scope="module")
def sentences(themed_sentences: list[list[str]]) -> list[list[str]]:
    """Themed sentences, with a word that occurs once."""
    return [*themed_sentences[:150], ["ship", "hapax", "moon"]]


@pytest.fixture
def folder(tmp_path: Path, sentences: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backends, "_torch_devices", lambda: ["cpu"])
    Path("corpus.txt").write_text("".join(" ".join(sentence) + "\n" for sentence in sentences))
    for name, text in (("falling.tsv", FALLING), ("other.tsv", OTHER), ("vocabulary.txt", VOCABULARY)):
        Path(name).write_text(text)
    return tmp_path


def outcome(words: list[str], vectors: Any, account: dict[str, Any]) -> dict[str, Any]:
    """Return what a run came to; nothing of it repeats an option."""
    saved = Path("saved.txt")
    return {
        "vocabulary": words,
        "vectors": vectors.tobytes(),
        "scores": account["scores"],
        "epochs_visited": account["epochs_visited"],
        "backend": account["backend"],
        "tokens_in_flight": account["settings"]["tokens_in_flight"],
        "threads": torch.get_num_threads(),
        "saved_vocabulary": saved.read_text() if saved.exists() else None,
    }


def by_files(options: dict[str, Any], sentences: list[list[str]]) -> dict[str, Any]:
    result = trainer.train_files(["corpus.txt"], Config(**options))
    return outcome(result.vocab.words, result.w_in, vars(result))


def by_sentences(options: dict[str, Any], sentences: list[list[str]]) -> dict[str, Any]:
    result = trainer.train_sentences(sentences, Config(**options))
    return outcome(result.vocab.words, result.w_in, vars(result))


def by_command(options: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Run the command; raises InputError with what it says where it exits with 2."""
    code = main(["corpus.txt", "-o", "v.bin", "--json", *option_words(options)])
    out, err = capsys.readouterr()
    if code:
        assert (code, out, len(err.splitlines()), Path("v.bin").exists()) == (2, "", 1, False)
        raise InputError(err)
    vectors = load_vectors("v.bin")
    return outcome(vectors.words, vectors.vectors, json.loads(out))


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: "-".join([case.option, "refused" if case.refused else case.changes])
)
@pytest.mark.usefixtures("folder")
def test_an_option_is_obeyed_or_refused(
    case: Case, sentences: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    before = BASE | case.besides
    if "native" in (case.value, before["backend"]):
        before["device"] = None
        reason = backends.unavailable_reason("native")
        if reason is not None:
            pytest.skip(f"native cannot run here: {reason}")
    after = before | {case.option: case.value}
    if case.refused:
        for run in (by_files, by_sentences):
            with pytest.raises(InputError, match=case.refused):
                run(after, sentences)
        with pytest.raises(InputError, match=case.refused):
            by_command(after, capsys)
        return
    base = by_files(before, sentences)
    found = by_files(after, sentences)
    assert found[case.changes] != base[case.changes]
    for door in (lambda: by_sentences(after, sentences), lambda: by_command(after, capsys)):
        Path("saved.txt").unlink(missing_ok=True)
        other = door()
        if (case.value, before["backend"]) == (2, "native"):  # threads that share tables
            other["vectors"] = found["vectors"]
        assert other == found


def test_the_device_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """No device but the CPU is sure to be here: as if there were."""
    monkeypatch.setattr(backends, "_torch_devices", lambda: ["cuda", "cpu"])
    assert backends.choose(Config(backend="torch")).device == "cuda"
    assert backends.choose(Config(backend="torch", device="cpu")).device == "cpu"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "options",
    [{"save_vocab": "nowhere/saved.txt"}, SCORED | {"eval_set": "missing.tsv"}, {"device": "mps"}],
    ids=["save_vocab", "eval_set", "device"],
)
def test_what_cannot_be_had_is_refused_before_a_text_is_read(options: dict[str, Any]) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the text was read")

    with pytest.raises(InputError):
        trainer.train_files(["corpus.txt"], Config(**BASE | options), on_scan=fail)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("options", "message"),
    [({}, "give eval_every too"), (SCORED, "evaluate takes the place of eval_set")],
    ids=["never-called", "two-at-once"],
)
def test_a_function_that_scores_is_called_or_refused(
    options: dict[str, Any], message: str, sentences: list[list[str]]
) -> None:
    with pytest.raises(InputError, match=message):
        trainer.train_sentences(sentences, Config(**BASE | options), evaluate=lambda _: 1.0)
