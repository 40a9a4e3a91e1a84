"""The Triton kernels against the float64 reference: in the interpreter, or on the GPU where there is one.

The interpreter runs programs one after another, so the first takes every chunk: the order is the reference's with one
tile in flight. On a GPU one program is asked for, for the same reason.
"""

import dataclasses
import functools
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.parity import hold, make_case, make_job, random_tables, reference_run, visit_of, zipf_ids
from tests.conftest import MODES as ALL_MODES
from tests.conftest import triton_device
from w2vfast import tiles
from w2vfast.config import Config
from w2vfast.kernels import contract, philox, reference
from w2vfast.kernels.triton import step as triton_step
from w2vfast.kernels.triton.config import launch, resident_programs, tuning

DEVICE = triton_device()
if DEVICE is None:
    pytest.skip("triton has no wheel for this platform", allow_module_level=True)

MODES = {
    name: mode
    for name, mode in ALL_MODES.items()
    if mode.get("objective", "negative-sampling") in triton_step.objectives()
}
CASES = {
    "defaults": {},
    "no-mask": {"target_mask": False},
    "tile-1": {"tile": 1, "length": 20},
    "tile-63": {"tile": 63},
    "cap-tight": {"cap": 0.05},
    "window-past-the-chunk": {"window": 50, "tile": 16, "chunk_size": 32, "length": 40},
    "fixed-window-1": {"window": 1, "shrink_windows": False},
    "more-shared-words-than-words": {"words": 5, "shared_words": 33},
    "one-shared-word": {"shared_words": 1, "negative": 1},
    "two-words": {"words": 2},
    "one-token": {"length": 1},
    "all-one-sentence": {"tokens": zipf_ids(50, 150) & contract.ID_MASK},
    "chunks-of-50": {"chunk_size": 50},
    "columns-in-groups": {"tile": 64, "shared_words": 50},
    "columns-in-wide-blocks": {"shared_words": 64},
    "wide-blocks-without-a-mask": {"shared_words": 64, "target_mask": False},
    "tile-past-the-table": {"tile": 100},
    "several-programs": {"tile": 16, "tokens_in_flight": 64},
}


def create(job, w_in, w_out, precision="ieee", **options):
    return triton_step.create_step(job, w_in, w_out, device=DEVICE, precision=precision, **options)


def run(vector_size, options=None, **changes):
    """Return what the kernels make of a case beside the reference, which has one tile in flight."""
    job, visit = make_case(**({"length": 150, "chunk_size": 128, "tokens_in_flight": 1, "first_rank": 1} | changes))
    right = reference_run(dataclasses.replace(job, tokens_in_flight=1), visit, vector_size)
    return hold(functools.partial(create, **(options or {})), job, visit, vector_size, right=right)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", MODES)
def test_a_step_equals_the_reference(mode, case):
    if DEVICE == "cuda" and case == "several-programs":
        pytest.skip("programs race on a GPU: only the interpreter can be exact")
    outcome = run(17, **(CASES[case] | MODES[mode]))
    assert outcome.expected.pairs > 0 or case == "one-token"
    assert outcome.error <= 2e-5


@pytest.mark.parametrize("vector_size", [1, 33, 100, 300])
@pytest.mark.parametrize("mode", MODES)
def test_vector_sizes(mode, vector_size):
    assert run(vector_size, length=60, **MODES[mode]).error <= 2e-5


@pytest.mark.parametrize("mode", ["sg", "cbow-mean"])
def test_a_vector_of_1024(mode):
    assert run(1024, length=20, **MODES[mode]).error <= 2e-5


def test_rows_past_two_to_the_31_elements_are_found():
    """Row 7.2 million of 300: the addresses first, then through them the table's end, the only part there is."""
    import torch

    from tests.triton_far_rows import far_rows_kernel

    D, first = 300, 2**31 // 300 + 1
    device = "cpu" if DEVICE == triton_step.INTERPRETER else DEVICE
    rows = torch.arange(first, first + 16, dtype=torch.int32, device=device)
    end = torch.arange(16 * D, dtype=torch.float32, device=device).reshape(16, D)
    before = end.clone()
    addresses = torch.zeros((16, 32), dtype=torch.int64, device=device)
    read = torch.zeros((16, 32), dtype=torch.float32, device=device)
    sizes = {"D": D, "ROWS": 16, "BLOCK_D": 32}
    far_rows_kernel[(1,)](addresses, read, end, rows, first, TOUCH=False, **sizes)
    expected = torch.arange(16)[:, None] * D + torch.arange(32)
    assert torch.equal(addresses.cpu(), expected)
    far_rows_kernel[(1,)](addresses, read, end, rows, first, TOUCH=True, **sizes)
    assert torch.equal(read, before[:, :32])
    before[:, :32] *= 2
    assert torch.equal(end, before)


@pytest.mark.parametrize("mode", MODES)
def test_static_weights_scale_rows(mode):
    weights = {name: np.linspace(400, 0, 50, dtype=np.float32) for name in ("in_weight", "out_weight")}
    capped, uncapped = run(9, **MODES[mode], **weights), run(9, **MODES[mode])
    assert capped.error <= 2e-5
    assert np.abs(uncapped.tables[1] - capped.tables[1]).max() > 1e-3


def test_static_weights_are_those_of_what_is_in_flight():
    """Of the four tiles asked for one is, where there is one chunk: a quarter of the weight expected."""
    job, visit = make_case(length=150, tokens_in_flight=128, falling_weights=400.0)
    assert job.tiles_in_flight == 4
    quarter = dataclasses.replace(
        job, tokens_in_flight=1, in_weight=job.in_weight / 4, out_weight=job.out_weight / np.float32(4)
    )
    outcome = hold(create, job, visit, 9, right=reference_run(quarter, visit, 9))
    assert outcome.error <= 2e-5
    whole = reference_run(dataclasses.replace(job, tokens_in_flight=1), visit, 9)
    assert hold(create, job, visit, 9, right=whole).error > 1e-2


@pytest.mark.parametrize("kept", [0, 1, 63, 64, 65])
@pytest.mark.parametrize("mode", ["sg", "cbow-mean"])
def test_tiles_of_any_length(mode, kept):
    """Chunks whose kept tokens end just before, at and after a tile's end."""
    threshold = np.full(50, 2**32 - 1, np.uint32)
    threshold[0] = 0
    ids = np.zeros(80, np.int32)
    ids[:kept] = 1 + np.arange(kept) % 40
    changes = {"tokens": ids, "keep_threshold": threshold, "tile": 64, "shared_words": 8, "target_mask": False}
    outcome = run(8, **changes, **MODES[mode])
    assert outcome.result.trained == kept
    assert outcome.error <= 2e-5


@pytest.mark.parametrize("token_memory", [0, 10**9], ids=["streamed", "resident"])
def test_a_streamed_corpus_trains_the_same(token_memory):
    """Groups of two chunks, an odd number of groups, the short last chunk in the middle of the order."""
    options = {"token_memory": token_memory, "stream_tokens": 64}
    assert run(8, options, length=300, chunk_size=32).error <= 2e-5


@pytest.mark.parametrize("chunk", [0, 5, 11])
@pytest.mark.parametrize(
    ("changes", "shared_words"),
    [({}, 16), ({}, 7), ({"shrink_windows": False}, 16), ({"seed": 2**64 - 1}, 16), ({"chunk_size": 100}, 16)],
    ids=str,
)
def test_the_plan_is_the_references_bit_for_bit(chunk, changes, shared_words):
    job = make_job(**changes)
    step = create(job, *random_tables(job, 4, np.float32))
    for draw_epoch in (0, 2**32 - 1):
        ours, right = (
            side(chunk, draw_epoch, shared_words) for side in (step.plan, functools.partial(reference.plan, job))
        )
        for name in ("positions", "radius", "shared_words"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(right, name))


@pytest.mark.parametrize("token_memory", [0, 10**9], ids=["streamed", "resident"])
def test_one_step_takes_visits_of_any_kind(token_memory):
    """Another number of shared words, progress out of order, other tokens: as tests/test_steps.py for the others."""
    job = make_job(length=150, chunk_size=64, tokens_in_flight=1)
    exact, tables = random_tables(job, 12), random_tables(job, 12, np.float32)
    step = create(job, *tables, token_memory=token_memory, stream_tokens=128)
    other = dataclasses.replace(job, tokens=zipf_ids(40, 200))
    visits = [
        (job, visit_of(job, np.array([0]), shared_words=8)),
        (job, dataclasses.replace(visit_of(job, np.array([2, 1]), shared_words=33), done=np.array([7 * 10**9, 3]))),
        (other, visit_of(other, np.array([3, 0]), draw_epoch=1)),
    ]
    for owner, visit in visits:
        if owner is other:
            step.replace_tokens(other.tokens)
        assert step.train(visit).trained == reference.train(owner, *exact, visit).trained
    for table, given, right in zip(step.tables(), tables, exact, strict=True):
        assert table is given
        np.testing.assert_allclose(table, right, atol=2e-6)


def test_a_position_past_two_to_the_32_keeps_all_its_bits():
    """Chunk 2^21 + 5 of 4,096 positions: a corpus too long to make here, so its plan is asked for directly."""
    import torch

    from w2vfast.kernels.triton import plan as triton_plan

    chunk, length, N, V = 2**21 + 5, 300, 6, 50
    job = make_job(seed=2**64 - 5)
    tokens = job.tokens[:length]
    device = "cpu" if DEVICE == triton_step.INTERPRETER else DEVICE
    noise = job.objective.noise
    bits = {"keep_threshold": job.keep_threshold, "noise_prob": noise.prob, "noise_alias": noise.alias}
    bits = {name: array.view(np.int32) for name, array in bits.items()}
    notes, drawn, kept = (torch.zeros(size, dtype=torch.int32, device=device) for size in (5 * 4096, 10 * N, 1))
    triton_plan.plan_kernel[(1,)](
        notes_ptr=notes,
        shared_ptr=drawn,
        kept_ptr=kept,
        tokens_ptr=torch.from_numpy(tokens.copy()).to(device),
        **{f"{name}_ptr": torch.from_numpy(array.copy()).to(device) for name, array in bits.items()},
        chunk=chunk,
        length=length,
        draw_epoch=2,
        seed=-5,
        V=V,
        T=32,
        N=N,
        W=5,
        SHRINK=True,
        CHUNK=4096,
        BLOCK_N=8,
        BLOCK_P=512,
    )
    position = chunk * 4096 + np.arange(length)
    words = philox.philox4x32(job.seed, position & 0xFFFFFFFF, position >> 32, 2, philox.PURPOSE_TOKEN)
    keep = words[:, 0] <= job.keep_threshold[tokens & contract.ID_MASK]
    count = int(kept)
    assert count == keep.sum()
    offsets, places = notes.cpu().numpy()[2 * 4096 :][:count], notes.cpu().numpy()[4096:][:count]
    np.testing.assert_array_equal(offsets, np.flatnonzero(keep))
    np.testing.assert_array_equal(places >> 16, 1 + (words[keep, 1].astype(np.uint64) * 5 >> 32).astype(np.int64))
    first = philox.philox4x32(job.seed, np.array(0), np.array(chunk), 2, philox.PURPOSE_SHARED)
    column = int(first[0]) * V >> 32
    assert int(drawn[0]) == (column if first[1] < noise.prob[column] else noise.alias[column])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row_cap": "batch"}, "row_cap must be 'tile'"),
        ({"chunk_size": 1 << 16}, "chunks of up to 32768"),
        ({"window": 1 << 16}, "windows of up to 32767"),
        ({"cap": 0.0}, "cap"),
    ],
)
def test_jobs_that_the_kernels_cannot_honour_are_refused(changes, message):
    job = dataclasses.replace(make_job(), **changes)
    with pytest.raises(ValueError, match=message):
        create(job, *random_tables(job, 4, np.float32))


def test_float64_tables_are_refused():
    with pytest.raises(ValueError, match="float32"):
        create(make_job(), *random_tables(make_job(), 4))


class FakeGpu:
    """Stands in for torch.cuda where the machine has no GPU, or another one."""

    def __init__(self, capability=(9, 0), free=80 << 30, present=True):
        self.capability, self.free, self.present = capability, free, present

    def install(self, monkeypatch):
        import torch

        monkeypatch.setattr(torch.cuda, "is_available", lambda: self.present)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: self.capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Some GPU")
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (self.free, self.free))


def test_a_grid_is_what_registers_shared_memory_and_threads_allow():
    h100 = {"processors": 132, "registers": 65536, "shared_bytes": 232448, "threads": 2048}
    per = {"of_thread": 252, "of_program": 12288, "warps": 4}
    assert resident_programs(**h100, **per) == 264
    assert resident_programs(**h100, **per | {"of_thread": 168}) == 3 * 132
    assert resident_programs(**h100, **per | {"of_thread": 120}) == 4 * 132
    assert resident_programs(**h100, **per | {"of_program": 100_000}) == 264
    assert resident_programs(**h100, **per | {"of_program": 120_000}) == 132
    assert resident_programs(**h100, **per | {"of_thread": 16}) == 16 * 132
    assert resident_programs(**h100, **per | {"of_thread": 255, "warps": 16}) == 132


def test_kernels_are_launched_on_the_steps_own_gpu(monkeypatch):
    """Triton launches on the current device, whatever the tensors' is."""
    current = []

    class Current:
        def __init__(self, device):
            self.device = device

        def __enter__(self):
            current.append(self.device)

        def __exit__(self, *_):
            current.pop()

    class Kernel:
        def __getitem__(self, grid):
            return lambda **arguments: launched.append((current[-1], arguments["chunks"]))

    job = make_job(length=150)
    step = create(job, *random_tables(job, 4, np.float32))
    launched, second = [], object()
    monkeypatch.setattr(step, "_current_device", lambda: Current(second))
    monkeypatch.setattr(step, "_kernel", Kernel())
    step.train(visit_of(job))
    assert launched == [(second, 1)]
    monkeypatch.undo()
    import torch

    monkeypatch.setattr(torch.cuda, "device", lambda device: ("current", device))
    monkeypatch.setattr(step, "device", torch.device("cuda:1"))
    assert step._current_device() == ("current", torch.device("cuda:1"))


def test_amd_compilers_get_no_bound_on_registers():
    job = make_job()
    assert "maxnreg" not in launch(job, 16, 8, tuning(None), "tf32").options
    assert launch(job, 16, 8, tuning(90), "tf32").options["maxnreg"] == 255


def test_tiles_that_do_not_compile_for_a_gpu_are_refused(monkeypatch):
    FakeGpu(capability=(10, 0)).install(monkeypatch)
    monkeypatch.setattr(triton_step, "TritonStep", lambda *_: "a step")
    for tile, capability in ((32, (10, 0)), (64, (9, 0)), (64, (12, 0))):
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda _, found=capability: found)
        job = make_job(tile=tile)
        assert triton_step.create_step(job, *random_tables(job, 4, np.float32), device="cuda") == "a step"
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (10, 3))
    with pytest.raises(contract.Unsupported, match=r"tiles of 64 tokens do not compile.*give --tile 32"):
        triton_step.create_step(job, *random_tables(job, 4, np.float32), device="cuda")


def test_reasons_for_being_unavailable(monkeypatch):
    FakeGpu(present=False).install(monkeypatch)
    assert "no GPU" in triton_step.unavailable_reason()
    FakeGpu(capability=(7, 5)).install(monkeypatch)
    assert "compute capability 7.5: 8.0 (Ampere) or later" in triton_step.unavailable_reason()
    FakeGpu(capability=(8, 0)).install(monkeypatch)
    assert triton_step.unavailable_reason() is None
    with pytest.raises(ValueError, match="no GPU number 3"):
        triton_step.create_step(make_job(), *random_tables(make_job(), 4, np.float32), device="cuda:3")
    monkeypatch.setattr("triton.__version__", "3.1.0")
    assert "triton 3.1.0 is too old" in triton_step.unavailable_reason()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "not installed" in triton_step.unavailable_reason()


def test_too_small_a_gpu_is_said_before_anything_is_allocated(monkeypatch):
    import torch

    FakeGpu(free=(512 << 20) + 1000).install(monkeypatch)
    monkeypatch.setattr(torch, "empty", lambda *a, **k: pytest.fail("allocated"))
    monkeypatch.setattr(torch, "zeros", lambda *a, **k: pytest.fail("allocated"))
    with pytest.raises(MemoryError, match=r"GiB are needed.*50 x 4 float32: raise min_count"):
        triton_step.create_step(make_job(), *random_tables(make_job(), 4, np.float32), device="cuda")


def test_the_interpreter_must_be_asked_for():
    """Without TRITON_INTERPRET the device 'interpreter' is refused: nothing switches by itself."""
    code = (
        "import numpy as np\n"
        "from benchmarks.parity import make_job, random_tables\n"
        "from w2vfast.kernels.triton import step as triton_step\n"
        "triton_step.create_step(make_job(), *random_tables(make_job(), 4, np.float32), device='interpreter')\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "needs TRITON_INTERPRET=1" in done.stderr


SHIPPED = {
    "default": {},
    "small-corpus": {"corpus_tokens": 900_000},
    "window-10": {"window": 10},
    "window-10-small-corpus": {"window": 10, "corpus_tokens": 900_000},
    "fast": {"preset": "fast"},
}


@pytest.mark.parametrize("case", SHIPPED)
@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_rows_are_moved_as_often_as_the_design_says(mode, case, monkeypatch):
    """At what tiles.py chooses: 2 (2 + (2W + N) / T) distinct moves a token, and 1.5 times as many requested."""
    if DEVICE == "cuda":
        pytest.skip("the interpreter counts the accesses")
    from triton.runtime.interpreter import InterpreterBuilder

    options = {"corpus_tokens": 18_000_000} | SHIPPED[case]
    corpus_tokens = options.pop("corpus_tokens")
    config = Config(mode=mode, **options)
    chosen = tiles.choose(config, "triton", "cuda", 3.0 * corpus_tokens, corpus_tokens, 85_000)
    T, N, W, D, words = chosen.tile, chosen.shared_negatives, config.window, 100, 4000
    job = make_job(
        tokens=np.arange(8 * T, dtype=np.int32),
        words=words,
        keep_threshold=np.full(words, 2**32 - 1, np.uint32),
        shrink_windows=False,
        target_mask=False,
        chunk_size=1024,
        mode=mode,
        window=W,
        tile=T,
    )
    step = create(job, *random_tables(job, D, np.float32), precision="tf32")
    spans = [(table.data_ptr(), table.data_ptr() + 4 * words * D) for table in step._tables]
    elements = {"create_masked_load": 0, "create_atomic_rmw": 0}

    def counted(name):
        original = getattr(InterpreterBuilder, name)
        pointers_at, mask_at = {"create_masked_load": (0, 1), "create_atomic_rmw": (1, 3)}[name]

        def access(self, *arguments):
            pointers, mask = arguments[pointers_at].data, arguments[mask_at].data
            in_tables = sum((pointers >= begin) & (pointers < end) for begin, end in spans)
            elements[name] += int((np.broadcast_to(mask, pointers.shape) & (in_tables > 0)).sum())
            return original(self, *arguments)

        return access

    for name in elements:
        monkeypatch.setattr(InterpreterBuilder, name, counted(name))
    trained = step.train(visit_of(job, np.array([0]), shared_words=N)).trained
    design = 2 * (2 + (2 * W + N) / T)
    read, added = (count / D / trained for count in elements.values())
    assert trained == 8 * T
    # Every row is added to once, so that each addition stands for one distinct read and one distinct write.
    assert 2 * added == pytest.approx(design, rel=0.1)
    assert read + added <= 1.5 * design
