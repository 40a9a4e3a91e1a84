"""Shared by the tests: input sides with objectives, a tiny topical corpus, where Triton runs.

Jobs and tables come from benchmarks/parity.py.
"""

import importlib.util
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

# Every input side with every objective of drawn words, which all backends have.
DRAWN_MODES: dict[str, dict[str, Any]] = {
    "sg": {"mode": "sg"},
    "cbow-mean": {"mode": "cbow"},
    "cbow-sum": {"mode": "cbow", "cbow_mean": False},
    "sg-nce": {"mode": "sg", "objective": "nce", "log_z": 0.5},
    "cbow-nce": {"mode": "cbow", "objective": "nce"},
}
# And with the others: what each kernel of those that have them is held against the reference in.
MODES = DRAWN_MODES | {
    "sg-classes": {"mode": "sg", "objective": "class-softmax"},
    "cbow-classes": {"mode": "cbow", "objective": "class-softmax"},
    "sg-codes": {"mode": "sg", "objective": "binary-code"},
    "cbow-codes": {"mode": "cbow", "objective": "binary-code", "code": "hybrid-ecc", "code_words": 1},
    "sg-sampled-softmax": {"mode": "sg", "objective": "sampled-softmax"},
    "cbow-sampled-softmax": {"mode": "cbow", "objective": "sampled-softmax"},
    "sg-softmax": {"mode": "sg", "objective": "softmax"},
    "cbow-softmax": {"mode": "cbow", "objective": "softmax"},
    "sg-tree": {"mode": "sg", "objective": "hierarchical-softmax"},
    "cbow-tree": {"mode": "cbow", "objective": "hierarchical-softmax"},
    "sg-tree-drawn": {"mode": "sg", "objective": "hierarchical-softmax,negative-sampling"},
    "cbow-tree-drawn": {"mode": "cbow", "objective": "hierarchical-softmax,negative-sampling"},
}
# What modes beyond those take in a case in place of its own settings: at its rate training lets rounding grow there,
# and the reference walks every word, class or path of a pair.
GENTLER: dict[str, dict[str, Any]] = {
    "uniform-weights": {"words": 1100, "alpha": 0.01},
    "window-50": {"alpha": 0.01, "length": 300},
    "window-1000": {"chunk_size": 128},
    "tile-1": {"length": 200},
}


def case_options(case: str, options: dict[str, Any], mode: str) -> dict[str, Any]:
    """Return a case's options in a mode."""
    return options | MODES[mode] | ({} if mode in DRAWN_MODES else GENTLER.get(case, {}))


THEMES = {
    "sea": ["ship", "sailor", "harbour", "wave", "anchor", "captain"],
    "kitchen": ["bread", "oven", "butter", "flour", "spoon", "cake"],
    "space": ["planet", "orbit", "rocket", "comet", "telescope", "moon"],
    "music": ["violin", "melody", "rhythm", "choir", "piano", "chord"],
}


def triton_device() -> str | None:
    """Return where the Triton kernels are tested: on the GPU, else in the interpreter; None where triton has no wheel.

    The interpreter must be chosen before triton is first imported, and is then the whole process's: modules ask while
    tests are collected. What compiles kernels does so in a process of its own.
    """
    from w2vfast.kernels.triton import step as triton_step

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
