"""Runs gensim's own tests of Word2Vec, those inside its installed wheel, with w2vfast's class in gensim's place.

    python tests/run_gensim_tests.py                        every test, against the list of exceptions
    python tests/run_gensim_tests.py -k online -k locking   those whose names hold one of these words
    python tests/run_gensim_tests.py --from gensim.models   gensim's own class: what fails or skips by itself here

Exit code 0 if every test passes but those in data/gensim_exceptions.csv, which has a reason each. One of the list that
passes, is skipped or no longer exists is a failure too: the list must not rot. The tests need testfixtures, and skip
those that need POT.
"""

import argparse
import csv
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXCEPTIONS = ROOT / "tests" / "data" / "gensim_exceptions.csv"
MODULE = "gensim.test.test_word2vec"
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tests in a process of their own and judge what came out; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", dest="words", action="append", default=[], help="only tests whose names hold this word")
    parser.add_argument("--from", dest="source", default="w2vfast", help="the module whose Word2Vec is tested")
    parser.add_argument("--list", type=Path, default=EXCEPTIONS, help="CSV of exceptions: test, reason")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds after which a hanging test is given up")
    parser.add_argument("--outcomes", type=Path, help=argparse.SUPPRESS)  # the child's: run here, write them as JSON
    arguments = parser.parse_args(argv)
    if arguments.outcomes is not None:
        run_here(arguments.source, arguments.words, arguments.outcomes)
        return 0
    with arguments.list.open(newline="") as file:
        reasons = {row["test"]: row["reason"] for row in csv.DictReader(file)}
    outcomes = run_in_a_child(arguments.source, arguments.words, arguments.timeout)
    if arguments.source == "gensim.models":
        reasons = {}
    elif arguments.words:
        reasons = {test: reason for test, reason in reasons.items() if chosen(test, arguments.words)}
    return report(outcomes, reasons)


def run_in_a_child(source: str, words: list[str], timeout: float) -> dict[str, dict[str, str]]:
    """Return what came of each test by its name; the tests' files go into a folder that vanishes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.json"
        command = [sys.executable, "-W", "default", str(Path(__file__).resolve()), "--from", source]
        command += ["--outcomes", str(path), *(part for word in words for part in ("-k", word))]
        search = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        environment = os.environ | {"PYTHONPATH": search, "TMPDIR": folder}
        subprocess.run(command, cwd=folder, env=environment, check=True, timeout=timeout, stdout=sys.stderr)
        return json.loads(path.read_text())


def run_here(source: str, words: list[str], path: Path) -> None:
    """Put the class in gensim's place, run the tests, and write what came of each."""
    import gensim.models

    tested = importlib.import_module(source).Word2Vec
    gensim.models.word2vec.Word2Vec = gensim.models.Word2Vec = tested
    module = importlib.import_module(MODULE)
    assert module.word2vec.Word2Vec is tested
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    tests = {name_of(test): test for test in flat(suite) if chosen(name_of(test), words)}
    result = Outcomes()
    unittest.TestSuite(tests.values()).run(result)
    assert result.outcomes.keys() == tests.keys(), "tests without an outcome"
    path.write_text(json.dumps(result.outcomes))


def flat(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Yield the tests of a suite of suites."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def name_of(test: unittest.TestCase) -> str:
    """Return Class.method."""
    return ".".join(test.id().split(".")[-2:])


def chosen(name: str, words: list[str]) -> bool:
    """Tell whether a name holds one of the words, or none was given."""
    return not words or any(word in name for word in words)


class Outcomes(unittest.TestResult):
    """Collects what came of each test, with the reason of what did not pass and the seconds it took."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[str, dict[str, str]] = {}

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.began = time.perf_counter()

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.note(test, PASSED, "")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.note(test, SKIPPED, reason)

    def addFailure(self, test: unittest.TestCase, err) -> None:
        self.note(test, FAILED, self._exc_info_to_string(err, test))

    addError = addFailure

    def addSubTest(self, test, subtest, err) -> None:
        if err is not None:
            self.addFailure(test, err)

    def note(self, test: unittest.TestCase, outcome: str, detail: str) -> None:
        seconds = time.perf_counter() - self.began
        self.outcomes[name_of(test)] = {"outcome": outcome, "detail": detail, "seconds": f"{seconds:.1f}"}
        print(f"{outcome:7} {seconds:6.1f} s  {name_of(test)}", flush=True)


def report(outcomes: dict[str, dict[str, str]], reasons: dict[str, str]) -> int:
    """Print how the outcomes stand against the list of exceptions; returns the exit code."""
    by_outcome = {
        kind: [test for test, found in outcomes.items() if found["outcome"] == kind]
        for kind in (PASSED, FAILED, SKIPPED)
    }
    unexpected = [test for test in by_outcome[FAILED] if test not in reasons]
    rotten = [test for test in reasons if outcomes.get(test, {"outcome": "gone"})["outcome"] != FAILED]
    for test in by_outcome[SKIPPED]:
        print(f"skipped: {test}: {outcomes[test]['detail']}")
    for test in by_outcome[FAILED]:
        if test in reasons:
            print(f"fails as listed: {test}: {reasons[test]}")
    for test in unexpected:
        print(f"FAILS: {test}\n{outcomes[test]['detail']}")
    for test in rotten:
        state = outcomes.get(test, {"outcome": "gone"})["outcome"]
        print(f"TAKE OFF THE LIST: {test} ({state})")
    print(
        f"{len(by_outcome[PASSED])} passed, {len(by_outcome[FAILED]) - len(unexpected)} fail as listed, "
        f"{len(by_outcome[SKIPPED])} skipped, {len(unexpected)} fail, {len(rotten)} to take off the list"
    )
    return 1 if unexpected or rotten or not by_outcome[PASSED] else 0


if __name__ == "__main__":
    sys.exit(main())
