"""The native kernels cross-compiled for aarch64 (NEON) and run under user-mode emulation, against the reference."""

import functools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.parity import hold
from tests.conftest import DRAWN_MODES
from tests.test_native import CASES, reference_case
from w2vfast.kernels.contract import StepResult
from w2vfast.kernels.native import step as native_step
from w2vfast.kernels.noise import NoiseTable

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


class Step:
    """The driver as a step: one visit on tables that it is given and gives back."""

    def __init__(self, driver, job, w_in, w_out):
        self._driver, self._job, self._tables = driver, job, (w_in, w_out)

    def train(self, visit):
        job, objective = self._job, self._job.objective
        V, D = self._tables[0].shape
        header = [
            *(
                len(job.tokens),
                V,
                D,
                native_step.objectives().index(objective.name),
                job.mode == "cbow",
                job.cbow_mean,
                job.shrink_windows,
            ),
            *(getattr(objective, "mask", False), job.window, job.tile, job.chunk_size, job.seed),
            *(job.in_weight is not None, len(visit.chunks), visit.total, visit.draw_epoch, visit.shared_words, 1, 1),
        ]
        numbers = [getattr(objective, "negative", 0), job.cap, visit.start_rate, visit.end_rate]
        arrays = [np.array(header, np.int64), np.array(numbers, np.float64), job.tokens, job.keep_threshold]
        noise = objective.noise or NoiseTable(np.zeros(V, np.uint32), np.zeros(V, np.int32), np.zeros(V))
        of_word = getattr(objective, "bias", getattr(objective, "log_q", np.zeros(V, np.float32)))
        arrays += [noise.prob, noise.alias, of_word]
        arrays += [weight for weight in (job.in_weight, job.out_weight) if weight is not None]
        case = b"".join(array.tobytes() for array in [*arrays, visit.chunks, visit.done, *self._tables])
        output = subprocess.run([EMULATOR, self._driver], input=case, stdout=subprocess.PIPE, check=True).stdout
        loss, pairs, trained = np.frombuffer(output, np.float64, 3)
        self._tables = tuple(np.frombuffer(output, np.float32, offset=24).reshape(2, V, D))
        return StepResult(float(loss), int(pairs), int(trained))

    def tables(self):
        return self._tables


def check(driver, mode, case, vector_size):
    job, visit, right = reference_case(mode, case, vector_size)
    assert hold(functools.partial(Step, driver), job, visit, vector_size, right=right).error <= 2e-5


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", DRAWN_MODES)
def test_aarch64_equals_the_reference(driver, mode, case):
    check(driver, mode, case, 17)


@pytest.mark.parametrize("vector_size", [1, 7, 16, 33, 100, 300])
@pytest.mark.parametrize("mode", DRAWN_MODES)
def test_aarch64_equals_the_reference_at_vector_sizes(driver, mode, vector_size):
    check(driver, mode, "short", vector_size)
