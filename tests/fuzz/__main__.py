"""Fuzzes one target, or all of them one after the other, each for a set time; exits with 1 at a finding.

    python -m tests.fuzz
    python -m tests.fuzz text model --seconds 60

The scanner and the encoder are fuzzed by their C++ harnesses, built here with libFuzzer and the sanitizers (clang++),
all else by atheris. Inputs that reach new code are kept in build/fuzz/TARGET from run to run, findings in
build/fuzz/findings: a finding becomes a file in tests/fuzz/corpus/TARGET, which the tests replay.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.fuzz.targets import TARGETS

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "fuzz"
NATIVE = ("scanner", "encoder")
LONGEST = {"scanner": 1024, "encoder": 512, "model": 8192}
SANITIZERS = "-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g -pthread"
COUNTS = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+)")


def main() -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=int, default=600, help="for each")
    arguments = parser.parse_args()
    unknown = set(arguments.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    failed = [name for name in arguments.targets or TARGETS if not fuzz(name, arguments.seconds)]
    if failed:
        print(f"findings in {', '.join(failed)}: {BUILD / 'findings'}")
    return int(bool(failed))


def fuzz(name: str, seconds: int) -> bool:
    """Fuzz a target and print what was executed and reached; returns whether it was clean."""
    kept, findings = BUILD / name, BUILD / "findings"
    for folder in (kept, findings):
        folder.mkdir(parents=True, exist_ok=True)
    if name in NATIVE:
        command, environment = [str(compiled(name))], os.environ | embedded()
    else:
        command, environment = [sys.executable, "-m", "tests.fuzz.guided", name], os.environ | {}
    limits = ["-timeout=20", "-rss_limit_mb=2048", f"-max_len={LONGEST.get(name, 2048)}", "-print_final_stats=1"]
    command += [*limits, f"-max_total_time={seconds}", f"-artifact_prefix={findings}/{name}-", str(kept)]
    seeds = HERE / "corpus" / name
    if seeds.exists():
        command.append(str(seeds))
    log = BUILD / f"{name}.log"
    with log.open("w") as out:
        code = subprocess.run(command, cwd=ROOT, env=environment, stdout=out, stderr=out, check=False).returncode
    said = log.read_text(errors="replace")
    reached = COUNTS.findall(said)
    executions, edges, features = reached[-1] if reached else ("0", "0", "0")
    print(
        f"{name}: {int(executions):,} executions in {seconds} s, coverage {edges} edges ({features} features), "
        f"{len(list(kept.iterdir()))} inputs kept; {'clean' if code == 0 else f'exit code {code}, see {log}'}",
        flush=True,
    )
    return code == 0


def compiled(name: str) -> Path:
    """Return a C++ harness's program, built anew."""
    import pybind11

    compiler = os.environ.get("CLANGXX") or next(filter(None, map(shutil.which, ("clang++", "clang++-14"))), None)
    if compiler is None:
        raise SystemExit("the C++ harnesses need clang++ with libFuzzer: install clang, or name it with CLANGXX")
    includes = [f"-I{folder}" for folder in (pybind11.get_include(), sysconfig.get_path("include"))]
    command = [compiler, "-std=c++17", *SANITIZERS.split(), *includes, str(HERE / f"{name}.cpp"), "-o"]
    command.append(str(program := BUILD / f"{name}-program"))
    if name == "encoder":  # Python within
        library, folder = sysconfig.get_config_var("LDLIBRARY"), sysconfig.get_config_var("LIBDIR")
        command += [f"-L{folder}", f"-l{Path(library).stem.removeprefix('lib')}", f"-Wl,-rpath,{folder}"]
    subprocess.run(command, check=True)
    return program


def embedded() -> dict[str, str]:
    """Return the environment of a program with Python within."""
    return {
        "PYTHONHOME": sys.base_prefix,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONMALLOC": "malloc",  # each object apart, so that the sanitizer knows its bounds
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own, kept to its end
    }


if __name__ == "__main__":
    sys.exit(main())
