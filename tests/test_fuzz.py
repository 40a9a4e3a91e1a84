"""Inputs that a fuzzer found, or that hostile hands would make, are read rightly or refused (tests/fuzz)."""

import importlib.util
import warnings
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "fuzz" / "corpus"
NATIVE = ("scanner", "encoder")


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_is_read_rightly_or_refused(target, tmp_path):
    if target in NATIVE and importlib.util.find_spec(f"w2vfast._{target}") is None:
        pytest.skip(f"the native {target} is not built")
    inputs = sorted((CORPUS / target).iterdir())
    assert inputs
    failures = []
    for path in inputs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a damaged checkpoint
            try:
                TARGETS[target](path.read_bytes(), tmp_path)
            except Exception as error:
                failures.append(f"{path.name}: {type(error).__name__}: {error}")
    assert not failures, "\n".join(failures)
