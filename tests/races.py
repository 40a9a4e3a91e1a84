"""Runs the native code in several threads, for a sanitizer to watch: `tests/sanitize.sh --thread` builds and starts it.

python -m tests.races deterministic     every objective, skip-gram and CBOW, in batches: no two threads may race
python -m tests.races scanner           a text in blocks, nor here
python -m tests.races default           workers share the tables without locks (tests/races.supp)
"""

import gzip
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.parity import make_case, random_tables
from w2vfast import corpus
from w2vfast.kernels.native import step as native_step

BATCH = {"tile": 16, "tokens_in_flight": 80, "row_cap": "batch"}


def train(*, deterministic: bool) -> None:
    """Train on a small corpus with every objective."""
    for objective in native_step.objectives():
        for mode in ("sg", "cbow"):
            job, visit = make_case(length=1500, mode=mode, objective=objective, **(BATCH if deterministic else {}))
            for workers in (2, 3, 8) if deterministic else (3,):  # a race that is reported, or suppressed, takes long
                step = native_step.create_step(job, *random_tables(job, 33, np.float32), workers=workers)
                for _ in range(2 if deterministic else 1):
                    assert np.isfinite(step.train(visit).loss)
                step.replace_tokens(job.tokens[::-1].copy())
                step.train(visit)


def scan() -> None:
    """Scan text that several threads share out, words met by all of them and by one, as a file and as a stream."""
    rng = np.random.default_rng(1)
    words = [f"word{i}" for i in rng.zipf(1.5, 30_000) % 5000]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("plain.txt", "packed.txt.gz")]
        files[0].write_text(" ".join(words).replace("word7 ", "word7\n"))
        files[1].write_bytes(gzip.compress(files[0].read_bytes()))
        found = [corpus.scan(files, workers=workers, scanner="native", _block_bytes=16_384) for workers in (1, 2, 3, 8)]
    assert all((other.tokens == found[0].tokens).all() for other in found)


def main() -> None:
    """Do what the command line names."""
    match sys.argv[1:]:
        case ["deterministic"]:
            train(deterministic=True)
        case ["default"]:
            train(deterministic=False)
        case ["scanner"]:
            scan()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
