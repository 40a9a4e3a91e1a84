"""Deterministic runs: the same bits for any number of workers, every objective and backend, resumed, in Word2Vec."""

import resource
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from w2vfast import backends, tiles, trainer
from w2vfast.config import Config
from w2vfast.errors import InputError, Stopped
from w2vfast.formats import Vectors, save_vectors

WORKERS = (1, 2, 3, 8)
NATIVE = backends.unavailable_reason("native") is None
BACKENDS = ["native"] * NATIVE + ["torch"]
needs_native = pytest.mark.skipif(not NATIVE, reason="native cannot run here")
OTHERS = {"margin": {"mined": 3, "mine_every": 500}}  # options of objectives that are not native's


def bits(*tables):
    return b"".join(table.tobytes() for table in tables)


FAILING = """
import resource, sys
import numpy as np
from benchmarks.parity import make_case, random_tables
from w2vfast.kernels.native import step as native_step
job, visit = make_case(length=3000, tile=16, tokens_in_flight=16 * 64, row_cap="batch", shared_words=1024)
tables = random_tables(job, int(sys.argv[1]), np.float32)
step = native_step.create_step(job, *tables, workers=int(sys.argv[2]))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[3]), -1))
try:
    step.train(visit)
except (RuntimeError, MemoryError) as error:
    print(type(error).__name__)
"""


@needs_native
@pytest.mark.skipif(sys.platform != "linux", reason="bounds a process's memory, which Linux tells")
@pytest.mark.parametrize(
    ("vector_size", "workers", "stack", "memory", "error"),
    [(8, 60, 1 << 30, 1500 << 20, "RuntimeError"), (8000, 3, 8 << 20, 240 << 20, "MemoryError")],
    ids=["no-thread", "no-buffers"],
)
def test_a_worker_that_fails_is_waited_for_by_none(vector_size, workers, stack, memory, error):
    """Large stacks, so that no second thread fits while the first has ample memory for its own data."""
    command = [sys.executable, "-c", FAILING, *map(str, (vector_size, workers, memory))]
    stacks = partial(resource.setrlimit, resource.RLIMIT_STACK, (stack, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, preexec_fn=stacks)
    assert done.stdout.split() == [error]


def options_of(backend, objective, mode):
    batch = {"tile": 16, "tokens_in_flight": 48}
    return {
        "backend": backend,
        "device": "cpu",
        "mode": mode,
        "objective": objective,
        "deterministic": True,
        "vector_size": 8,
        "min_count": 1,
        "epochs": 2,
        "sample": 1e-2,
        **batch,
        **OTHERS.get(objective, {}),
    }


def every_run():
    for backend in BACKENDS:
        for objective in backends.objectives(backend):
            for mode in ("sg",) if objective == "margin" else ("sg", "cbow"):
                yield pytest.param(backend, objective, mode, id=f"{backend}-{objective}-{mode}")


@pytest.mark.parametrize(("backend", "objective", "mode"), list(every_run()))
def test_a_run_has_the_same_bits_with_any_number_of_workers(backend, objective, mode, themed_sentences, tmp_path):
    found, options = set(), options_of(backend, objective, mode)
    if objective == "von-mises-fisher":
        words = sorted({word for sentence in themed_sentences for word in sentence})
        vectors = np.random.default_rng(1).normal(size=(len(words), 8)).astype(np.float32)
        save_vectors(Vectors(words, vectors), options.setdefault("targets", str(tmp_path / "targets.txt")))
    for workers in WORKERS if backend == "native" else WORKERS[::2]:  # torch has one thread
        result = trainer.train_sentences(themed_sentences[:200], Config(**options, workers=workers))
        found.add((bits(result.w_in, result.w_out), *result.loss_per_epoch))
    assert len(found) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_resumed_with_other_workers_ends_in_the_same_bits(backend, themed_sentences, tmp_path):
    """The loss too, which is the sum of other visits."""
    options = options_of(backend, "negative-sampling", "sg")

    def train(workers, stop=None, **others):
        return trainer.train_sentences(themed_sentences, Config(**options, workers=workers, **others), stop=stop)

    whole = train(1)
    advances = iter(range(9))
    with pytest.raises(Stopped):
        train(2, lambda: next(advances) >= 3, checkpoint=str(tmp_path))
    with pytest.raises(InputError, match="deterministic: True / False"):
        trainer.train_sentences(
            themed_sentences,
            Config(
                **options | {"deterministic": False, "tokens_in_flight": None}, checkpoint=str(tmp_path), resume=True
            ),
        )
    resumed = train(3, checkpoint=str(tmp_path), resume=True)
    assert bits(resumed.w_in, resumed.w_out) == bits(whole.w_in, whole.w_out)
    assert resumed.loss_per_epoch == whole.loss_per_epoch


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sg", [0, 1])
def test_word2vec_is_deterministic_where_asked(backend, sg, themed_sentences):
    model_module = pytest.importorskip("w2vfast.model")
    options = {"min_count": 1, "vector_size": 8, "epochs": 2, "sg": sg, "backend": backend, "tile": 16}
    options |= {"tokens_in_flight": 48, "deterministic": True}
    models = [model_module.Word2Vec(themed_sentences[:500], workers=workers, **options) for workers in (1, 3)]
    assert len({bits(model.wv.vectors, model.syn1neg) for model in models}) == 1
    with pytest.raises(ValueError, match="backend triton adds in no fixed order"):
        model_module.Word2Vec(backend="triton", deterministic=True)
    with pytest.raises(ValueError, match="gensim's own loop is not deterministic"):
        model_module.Word2Vec([["a", "a"]] * 9, min_count=1, deterministic=True)


def test_a_batch_is_the_corpus_affair():
    """Its size does not depend on workers, and a corpus of few tokens has smaller ones."""

    def chosen(workers, trained, **options):
        config = Config(deterministic=True, workers=workers, **options)
        return tiles.choose(config, "native", "cpu", trained, 10_000_000, 50_000)

    assert {chosen(workers, 5e7).tokens_in_flight for workers in (1, 2, 64)} == {1024}
    assert chosen(2, 1e6).tokens_in_flight == 320
    assert chosen(2, 1).tokens_in_flight == 64
    softmax = chosen(2, 5e7, objective="softmax", vector_size=300)
    assert (softmax.tile, softmax.tokens_in_flight) == (256, 1024)
    assert chosen(2, 5e7, objective="softmax", vector_size=3000).tokens_in_flight == 256


def test_a_gpu_is_not_taken_for_a_deterministic_run(monkeypatch):
    monkeypatch.setattr(backends, "_automatic", lambda: pytest.fail("looked for a GPU"))
    assert backends.choose(Config(deterministic=True)).device == "cpu"
    assert backends.choose(Config(deterministic=True, backend="torch")).device == "cpu"
