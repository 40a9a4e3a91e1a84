"""Fuzzes one Python target by atheris until libFuzzer ends it: `python -m tests.fuzz.guided TARGET OPTIONS`."""

import os
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["w2vfast", "tests.fuzz.targets"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    target = TARGETS[sys.argv[1]]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        path = Path(folder)
        atheris.Setup([sys.argv[0], *sys.argv[2:]], lambda data: target(data, path))
        atheris.Fuzz()
