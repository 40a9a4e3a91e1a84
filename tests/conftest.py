"""Shared by the tests: jobs on made-up token streams, a tiny topical corpus, the backends that can run here."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from w2vfast import plan
from w2vfast.kernels import contract
from w2vfast.kernels.contract import Job

THEMES = {
    "sea": ["ship", "sailor", "harbour", "wave", "anchor", "captain"],
    "kitchen": ["bread", "oven", "butter", "flour", "spoon", "cake"],
    "space": ["planet", "orbit", "rocket", "comet", "telescope", "moon"],
    "music": ["violin", "melody", "rhythm", "choir", "piano", "chord"],
}


def zipf_ids(words: int, tokens: int) -> Any:
    """Return Zipf-like ids in sentences of about 14 tokens, int32 [tokens]."""
    rng = np.random.default_rng(7)
    ids = (rng.zipf(1.5, tokens) % words).astype(np.int32)
    ends = rng.random(tokens) < 0.07
    ends[-1] = True
    ids[ends] |= contract.SENTENCE_END
    return ids


def make_job(words: int = 50, length: int = 3000, **changes: Any) -> Job:
    """Return a job on `length` Zipf-like tokens; `changes` are fields of Job."""
    ids = changes.get("tokens", zipf_ids(words, length))
    counts = np.bincount(ids & contract.ID_MASK, minlength=words) + 1
    noise_prob, noise_alias = plan.alias_table(plan.noise_distribution(counts, 0.75))
    fields: dict[str, Any] = {
        "tokens": ids,
        "keep_threshold": plan.keep_thresholds(counts, 0.1),
        "noise_prob": noise_prob,
        "noise_alias": noise_alias,
        "in_weight": None,
        "out_weight": None,
        "mode": "sg",
        "cbow_mean": True,
        "window": 5,
        "shrink_windows": True,
        "negative": 5,
        "tile": 32,
        "shared_negatives": 16,
        "tokens_in_flight": 32,
        "target_mask": True,
        "cap": 2.0,
        "row_cap": "tile",
        "chunk_size": 256,
        "seed": 2**40 + 3,
        "epochs": 3,
        "alpha": 0.05,
        "min_alpha": 1e-4,
    }
    return Job(**(fields | changes))


def random_tables(words: int, vector_size: int, dtype: Any = np.float64) -> tuple[Any, Any]:
    """Return W_in and W_out far enough from zero that every term of a step shows."""
    rng = np.random.default_rng(1)
    scale = 0.5 / np.sqrt(vector_size) + 0.2 / vector_size
    return tuple((rng.normal(size=(words, vector_size)) * scale).astype(dtype) for _ in range(2))


def triton_device() -> str | None:
    """Return where the Triton kernels are tested: on the GPU, else in the interpreter; None where triton has no wheel.

    The interpreter must be chosen before triton is first imported, and is then the whole process's: modules ask while
    tests are collected. What compiles kernels does so in a process of its own.
    """
    from w2vfast.kernels import triton_step

    if importlib.util.find_spec("triton") is None:
        return None
    if triton_step.unavailable_reason() is None:
        return "cuda"
    if os.environ.get("TRITON_INTERPRET") != "1":
        assert "triton" not in sys.modules, "the interpreter must be chosen before triton is first imported"
        os.environ["TRITON_INTERPRET"] = "1"
    return triton_step.INTERPRETER


@pytest.fixture(scope="session")
def themed_sentences() -> list[list[str]]:
    """Sentences of eight words, each from one theme: a word's neighbours are the words of its theme."""
    rng = np.random.default_rng(3)
    themes = list(THEMES.values())
    return [rng.choice(themes[rng.integers(len(themes))], 8).tolist() for _ in range(1500)]


@pytest.fixture
def themed_file(tmp_path: Any, themed_sentences: list[list[str]]) -> Any:
    """The themed sentences as a text file, a sentence a line."""
    path = tmp_path / "themed.txt"
    path.write_text("".join(" ".join(sentence) + "\n" for sentence in themed_sentences))
    return path


def share_of_right_neighbours(words: list[str], vectors: Any) -> float:
    """Return how many of each word's five nearest neighbours are of its own theme, 0 to 1."""
    theme_of = {word: theme for theme, members in THEMES.items() for word in members}
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    nearest = np.argsort(-cosines, axis=1)[:, :5]
    right = [theme_of[words[j]] == theme_of[words[i]] for i in range(len(words)) for j in nearest[i]]
    return float(np.mean(right))


@pytest.fixture
def poison_empty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fill torch's uninitialised memory with NaN for one test."""
    import torch

    torch.use_deterministic_algorithms(True)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    yield
    torch.use_deterministic_algorithms(False)
