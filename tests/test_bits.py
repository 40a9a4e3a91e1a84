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
    "cbow-window-20": {"mode": "cbow", "window": 20},
}
BITS = {
    "avx512": {
        "sg": "59bd867785d01998",
        "sg-uniform": "22611507ac4facf5",
        "sg-300": "d0d4ed77defb4288",
        "sg-window-10": "049573718fcbc5ff",
        "cbow": "6e65e97656c74a9d",
        "cbow-sum": "45b6341b2aca8e7c",
        "cbow-uniform": "a30d07225c425dc3",
        "cbow-window-20": "d0175fe4f48b6b47",
    },
    "avx2": {
        "sg": "325f93e9946fd62f",
        "sg-uniform": "9a5783484fe29895",
        "sg-300": "67b14468cd274425",
        "sg-window-10": "3fa7f6443022a108",
        "cbow": "76f7a8ff18c9bf0f",
        "cbow-sum": "d4de9e4deac5d2b3",
        "cbow-uniform": "3ddd14552412861d",
        "cbow-window-20": "1220fba354eba6b4",
    },
    "base": {
        "sg": "d7d1069520d47a16",
        "sg-uniform": "1cce2b1b2231613e",
        "sg-300": "d405c461ecf990b2",
        "sg-window-10": "b02cd4d91af752be",
        "cbow": "a880ddfd6cc42914",
        "cbow-sum": "67f47c32a7a45d47",
        "cbow-uniform": "3919aed229bfe430",
        "cbow-window-20": "a534bc997dc9c36f",
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
