"""Native with one worker: the bits of trained tables, so that a change of the kernels that moves one is seen.

The hashes are those of one compiler on one instruction set each; with others the sums are contracted otherwise.
`python -m tests.test_bits` prints them anew, after a change that is meant to move bits and whose quality was measured.
"""

import hashlib
import sys

import numpy as np
import pytest

from benchmarks.parity import make_case, random_tables
from w2vfast.kernels.native import step as native_step

COMPILER = "12.2.0"
CASES = {
    "sg": {},
    "sg-uniform": {"words": 3000, "shared_words": 32, "tile": 64},
    "sg-300": {"vector_size": 300},
    "sg-window-10": {"window": 10, "tile": 16, "shared_words": 20},
    "cbow": {"mode": "cbow"},
    "cbow-sum": {"mode": "cbow", "cbow_mean": False, "vector_size": 33},
    "cbow-uniform": {"mode": "cbow", "words": 3000, "tile": 64, "shrink_windows": False},
}
BITS = {
    "avx512": {
        "sg": "64a4d3292dda14ae",
        "sg-uniform": "580ea48dbe3f7fec",
        "sg-300": "6cd59b76f9a7604f",
        "sg-window-10": "8e2a5e8a122af0c1",
        "cbow": "e8879faf2a2cceee",
        "cbow-sum": "75f71e41d8c33300",
        "cbow-uniform": "0d48c84d12d8cd2b",
    },
    "avx2": {
        "sg": "df9e496dce21bcdc",
        "sg-uniform": "13a0a49234c28d0a",
        "sg-300": "3a77cbc27be2fc2f",
        "sg-window-10": "166510e0d3ef0a6f",
        "cbow": "bae6618e231d4fbd",
        "cbow-sum": "9c46abf1e45b3b84",
        "cbow-uniform": "85860f1d18c800c5",
    },
    "base": {
        "sg": "d7d1069520d47a16",
        "sg-uniform": "1cce2b1b2231613e",
        "sg-300": "d405c461ecf990b2",
        "sg-window-10": "b02cd4d91af752be",
        "cbow": "88faeb6967891d18",
        "cbow-sum": "059168d35eba1567",
        "cbow-uniform": "6390bcb7b53f736e",
    },
}


def bits(build, case):
    options = dict(CASES[case])
    vector_size = options.pop("vector_size", 100)
    job, visit = make_case(length=4000, **options)
    tables = random_tables(job, vector_size, np.float32)
    native_step.create_step(job, *tables, build=build).train(visit)
    return hashlib.sha256(tables[0].tobytes() + tables[1].tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("build", BITS)
def test_bits_are_those_of_before(build, case):
    reason = native_step.unavailable_reason()
    if reason is not None:
        pytest.skip(f"native backend: {reason}")
    if build not in native_step.runnable_builds():
        pytest.skip(f"this processor does not run the {build} build")
    compiler = native_step.compiler()
    if compiler != COMPILER:
        pytest.skip(f"the hashes are of GCC {COMPILER}, this build is of {compiler}")
    assert bits(build, case) == BITS[build][case]


if __name__ == "__main__":
    for name in native_step.runnable_builds():
        for case_name in CASES:
            sys.stdout.write(f'{name}: "{case_name}": "{bits(name, case_name)}",\n')
