"""The native kernels cross-compiled for aarch64 (NEON) and run under user-mode emulation, against the reference."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import random_tables
from tests.test_native import CASES, MODES, assert_same, reference_run
from w2vfast import plan
from w2vfast.kernels.contract import StepResult

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
FLAGS = ["-std=c++17", "-O3", "-Wall", "-Wextra", "-Werror", "-fno-math-errno", "-fno-trapping-math"]
SOURCE = Path(__file__).parent / "native" / "driver.cpp"

pytestmark = pytest.mark.slow
missing = [tool for tool in (COMPILER, EMULATOR) if shutil.which(tool) is None]
if missing:
    pytest.skip(f"not installed: {', '.join(missing)}", allow_module_level=True)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    program = tmp_path_factory.mktemp("aarch64") / "driver"
    subprocess.run([COMPILER, *FLAGS, "-static", "-pthread", "-o", program, SOURCE], check=True)
    return program


def train(driver, job, tables, order, workers=1):
    V, D = tables[0].shape
    header = [
        *(len(job.tokens), V, D, job.mode == "cbow", job.cbow_mean, job.shrink_windows, job.target_mask, job.window),
        *(job.negative, job.tile, job.shared_negatives, job.chunk_size, job.seed, job.epochs),
        *(job.in_weight is not None, len(order), 1, 0, workers, 1),
    ]
    arrays = [np.array(header, np.int64), np.array([job.cap, job.alpha, job.min_alpha])]
    arrays += [job.tokens, job.keep_threshold, job.noise_prob, job.noise_alias]
    arrays += [weight for weight in (job.in_weight, job.out_weight) if weight is not None]
    case = b"".join(array.tobytes() for array in [*arrays, order, *tables])
    output = subprocess.run([EMULATOR, driver], input=case, stdout=subprocess.PIPE, check=True).stdout
    loss, pairs, trained = np.frombuffer(output, np.float64, 3)
    results = np.frombuffer(output, np.float32, offset=24).reshape(2, V, D)
    return tuple(results), StepResult(float(loss), int(pairs), int(trained))


def compare(driver, mode, case, vector_size):
    job, exact, expected = reference_run(mode, case, vector_size)
    order = plan.chunk_order(job.chunks, 1, 0)
    tables, result = train(driver, job, random_tables(len(exact[0]), vector_size, np.float32), order)
    assert_same(tables, exact, result, expected)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", MODES)
def test_aarch64_equals_the_reference(driver, mode, case):
    compare(driver, mode, case, 17)


@pytest.mark.parametrize("vector_size", [1, 7, 16, 33, 100, 300])
@pytest.mark.parametrize("mode", MODES)
def test_aarch64_equals_the_reference_at_vector_sizes(driver, mode, vector_size):
    compare(driver, mode, "short", vector_size)
