"""A step's dispatch without a GPU, for test_triton_aot.py: a driver that says it is an H100, tensors without memory.

    python tests/triton_jit.py        prints a JSON object: programs, and what was compiled for all kinds of launches

Everything up to the launch is real: the step's arguments, how triton specialises and compiles them, the machine code's
registers. Importable under every version of triton that is supported: PYTHONPATH picks it.
"""

import dataclasses
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import parity
import triton
import triton_aot
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from w2vfast.kernels.triton import step as triton_step
from w2vfast.kernels.triton.config import tuning
from w2vfast.kernels.triton.tokens import StreamedTokens

PROCESSORS = 132


def load_binary(name, cubin, shared, device):
    """Return what the driver returns: module, function, registers, bytes spilled, most threads."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [triton_aot.tools() / "cuobjdump", "-res-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return 1, 1, int(re.search(r"REG:(\d+)", usage)[1]), int(re.search(r"LOCAL:(\d+)", usage)[1]), 1024


class Driver:
    """What triton asks of a driver before it launches."""

    utils = SimpleNamespace(
        load_binary=load_binary,
        get_device_properties=lambda device: {
            "multiprocessor_count": PROCESSORS,
            "max_num_regs": 65536,
            "max_shared_mem": 232448,
        },
    )
    launcher_cls = staticmethod(lambda source, metadata: None)

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device=0):
        return 0

    def get_device_interface(self):
        return torch.cpu

    def get_active_torch_device(self):
        return torch.device("meta")


def dispatch(mode, tile):
    """Return what a step compiles for launches of several groups, epochs, places and visits."""
    job = parity.make_job(words=300, length=300 * 64, chunk_size=64, mode=mode, static=True, tile=tile)
    job = dataclasses.replace(job, tokens_in_flight=16384)
    tables = (np.zeros((300, 128), np.float32) for _ in range(2))
    # Three chunks a group: pieces of the arrays begin at addresses that are no multiples of 16.
    step = triton_step.TritonStep(job, *tables, torch.device("meta"), tuning(90), "tf32", 0, 3 * 64)
    step.prepare(32)
    compiled = {id(step.compiled)}
    # What a launch is given by its pieces has real addresses here, as on a GPU.
    step.device = torch.device("cpu")
    step._tokens = StreamedTokens(job.tokens, job.chunk_size, step.device, 3 * 64)
    rates = torch.zeros(3, dtype=torch.float64)
    for draw_epoch, chunks in ((0, np.arange(300)), (1, np.arange(1)), (2**32 - 1, np.arange(7))):
        visit = parity.visit_of(job, chunks, draw_epoch=draw_epoch, shared_words=32)
        for group, done in step._groups(visit):
            arguments = step._arguments(step._config, group, done, rates, draw_epoch)
            compiled.add(id(step._kernel.warmup(grid=(1,), **arguments)))
    _, code = triton_aot.disassemble(step.compiled)
    names = triton_aot.instructions(code)
    (weigh,) = [part for part in step.compiled.asm["ttgir"].split("tt.func private") if ".weigh__" in part[:120]]
    layouts = re.findall(r"tt\.(load|store) [^\n]*tensor<\d+x\d+x!tt\.ptr<f32>, (#[\w.]+)>", weigh)
    return {
        "accesses_of_scores": layouts,
        "programs": step.programs,
        "variants": len(compiled),
        "registers": step.compiled.n_regs,
        "spilled_bytes": step.compiled.n_spills,
        "additions": sum(re.match(r"REDG?\b.*F32", name) is not None for name in names),
        "prefetches": sum(name.startswith("CCTL") for name in names),
        "vector_additions": sum(re.match(r"REDG?\b.*F32x4", name) is not None for name in names),
    }


def main():
    """Print what was found."""
    driver.set_active(Driver())
    torch.cuda.mem_get_info = lambda device: (80 << 30, 80 << 30)
    torch.cuda.get_device_properties = lambda device: SimpleNamespace(max_threads_per_multi_processor=2048)
    found = {"triton": triton.__version__}
    for mode in ("sg", "cbow"):
        found[mode] = dispatch(mode, 32)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
