"""Checkpoints: killed runs end in the same bits, failing disks and damaged files lose nothing, others are refused."""

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

from w2vfast import backends, checkpoint, trainer
from w2vfast.checkpoint import Contents, Folder
from w2vfast.config import Config
from w2vfast.errors import DivergenceError, InputError, Stopped
from w2vfast.kernels.contract import Mined
from w2vfast.run import Run, RunState
from w2vfast.stopwatch import Seconds

EXACT = [name for name in ("native", "torch") if backends.unavailable_reason(name) is None]
OPTIONS = {"vector_size": 8, "min_count": 1, "workers": 1, "epochs": 3, "sample": 1e-2}
OPTIONS_OF = {"native": {"backend": "native"}, "torch": {"backend": "torch", "tile": 16, "tokens_in_flight": 48}}
OFTEN = 1e-6  # seconds: one begins after every advance, if the last is written


def train(sentences, backend=EXACT[0], stop_after=None, tables=None, scores=None, **options):
    """Train, and stop after so many advances; where it is scored, by the next of `scores`."""
    evaluate = (lambda _: next(scores)) if "eval_every" in options else None
    advances = iter(range(1, 10**9))
    return trainer.train_sentences(
        sentences,
        Config(**(OPTIONS | OPTIONS_OF[backend] | options)),
        evaluate=evaluate,
        tables=tables,
        stop=None if stop_after is None else lambda: next(advances) >= stop_after,
    )


def stopped(sentences, folder, stop_after=2, **options):
    """Leave a checkpoint of a run that was stopped."""
    with pytest.raises(Stopped, match=rf"stopped in epoch .*--checkpoint {folder} --resume goes on"):
        train(sentences, checkpoint=str(folder), stop_after=stop_after, **options)


def assert_same(result, other):
    for table, right in ((result.w_in, other.w_in), (result.w_out, other.w_out)):
        np.testing.assert_array_equal(table, right)
    assert result.scores == other.scores
    assert result.loss_per_epoch == pytest.approx(other.loss_per_epoch, rel=1e-12)
    assert (result.tokens, result.pairs) == (other.tokens, other.pairs)
    assert result.epochs_visited == other.epochs_visited


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked to be killed")
@pytest.mark.parametrize(("backend", "every"), [("native", 11), ("torch", 29)])
def test_a_run_killed_inside_the_writer_ends_in_the_same_bits(backend, every, tmp_path):
    if backend not in EXACT:
        pytest.skip(f"{backend} cannot run here")
    command = [sys.executable, "-m", "tests.killed_runs", backend, str(tmp_path), str(every)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (_, whole), *kills = (line.split() for line in done.stdout.splitlines())
    assert len(kills) >= 3
    assert {end for _, end in kills} == {whole}


def command(*words):
    """Start the training command with SIGINT as in a terminal's foreground."""
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    program += "from w2vfast.train import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def begun(process):
    """Wait until a command has begun to train."""
    return next(line for line in process.stderr if "chunk_size=" in line)


LONG = ["--workers", "1", "--vector-size", "64", "--min-count", "1", "--epochs", "400", "--backend", EXACT[0]]


@pytest.fixture(scope="module")
def long_file(themed_sentences, tmp_path_factory):
    """A text that trains for about two seconds, and the vectors of a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("long")
    (folder / "c.txt").write_text("".join(" ".join(sentence) + "\n" for sentence in themed_sentences * 2))
    process = command(folder / "c.txt", "-o", folder / "v.bin", *LONG)
    assert process.communicate()[1]
    assert process.returncode == 0
    return folder / "c.txt", (folder / "v.bin").read_bytes()


def test_a_command_killed_at_any_moment_ends_in_the_same_bits(long_file, tmp_path):
    text, whole = long_file
    rng, kills = np.random.default_rng(time.time_ns()), 0
    while True:
        words = ["--checkpoint", tmp_path / "c", "--checkpoint-every", 0.02, "--resume"]
        process = command(text, "-o", tmp_path / "v.bin", *LONG, *words)
        if kills < 4:
            begun(process)
            time.sleep(rng.uniform(0, 0.4))
            process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
        if (tmp_path / "v.bin").exists():  # the kill came after the last rename: the file is whole
            break
    assert kills
    assert (tmp_path / "v.bin").read_bytes() == whole


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_a_signal_finishes_the_chunks_in_hand_and_writes_a_checkpoint(number, code, long_file, tmp_path):
    text, whole = long_file
    words = [text, "-o", tmp_path / "v.bin", *LONG, "--checkpoint", tmp_path / "c"]
    process = command(*words)
    begun(process)
    time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, out) == (code, "")
    assert "finishing the chunks in hand" in err
    assert err.splitlines()[-1].endswith(f"--checkpoint {tmp_path / 'c'} --resume goes on from there")
    assert not (tmp_path / "v.bin").exists()
    assert len(list((tmp_path / "c").iterdir())) == 2
    process = command(*words, "--resume", "--json")
    assert "checkpoint-00000001.json" in process.communicate()[0]
    assert (tmp_path / "v.bin").read_bytes() == whole


def test_without_checkpoints_a_signal_says_that_nothing_was_kept(long_file, tmp_path):
    process = command(long_file[0], "-o", tmp_path / "v.bin", *LONG)
    begun(process)
    process.send_signal(signal.SIGINT)
    err = process.communicate()[1]
    assert process.returncode == 130
    assert "nothing was written (--checkpoint DIR would keep what was trained)" in err
    assert not list(tmp_path.iterdir())


def test_a_second_signal_ends_at_once(themed_file, tmp_path):
    program = (
        "import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from w2vfast.run import Run; Run.advance = lambda *_: time.sleep(60);"
        "from w2vfast.train import main; sys.exit(main())"
    )
    words = [sys.executable, "-c", program, themed_file, "-o", tmp_path / "v.bin", "--checkpoint", tmp_path / "c"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    begun(process)
    process.send_signal(signal.SIGINT)
    next(line for line in process.stderr if "a second signal ends at once" in line)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10)[1].splitlines()[-1] == "w2vfast.train: interrupted; no output was written"
    assert process.returncode == 130


MODES = [
    {},
    {"mode": "cbow", "objective": "nce"},
    {"eval_every": 0.5, "keep_best": True, "patience": 5, "epochs": 4},
]


@pytest.mark.parametrize("backend", EXACT)
@pytest.mark.parametrize("options", MODES, ids=["plain", "cbow-nce", "scored"])
def test_a_run_stopped_and_taken_up_twice_ends_as_one_never_stopped(backend, options, themed_sentences, tmp_path):
    options = options | {"backend": backend}
    scores = [5.0, 1.0, 4.0, 2.0, 3.0, 0.0, 6.0, 7.0]
    whole = train(themed_sentences, scores=iter(scores), **options)
    options |= {"scores": iter(scores)}
    stopped(themed_sentences, tmp_path, 1, **options)
    stopped(themed_sentences, tmp_path, 5, resume=True, **options)
    resumed = train(themed_sentences, checkpoint=str(tmp_path), resume=True, **options)
    assert_same(resumed, whole)
    assert resumed.resumed_from == str(tmp_path / "checkpoint-00000002.json")
    assert 0 < resumed.resumed_at < whole.epochs_visited
    if options.get("patience"):
        assert [entry["score"] for entry in whole.scores] == scores[:6]
        assert whole.epochs_visited == pytest.approx(3, abs=0.1)


def test_what_was_mined_goes_along(themed_sentences, tmp_path):
    options = {"backend": "torch", "objective": "margin", "mine_every": 5000, "mined": 3}
    whole = train(themed_sentences, **options)
    stopped(themed_sentences, tmp_path, 2, **options)
    assert_same(train(themed_sentences, checkpoint=str(tmp_path), resume=True, **options), whole)


def test_tables_handed_in_are_filled_and_trained_in_place(themed_sentences, tmp_path):
    whole = train(themed_sentences)
    stopped(themed_sentences, tmp_path)
    tables = np.ones((24, 8), np.float32), np.ones((24, 8), np.float32)
    resumed = train(themed_sentences, tables=tables, checkpoint=str(tmp_path), resume=True)
    assert resumed.w_in is tables[0]
    np.testing.assert_array_equal(tables[0], whole.w_in)


def test_time_spent_is_that_of_all_parts(themed_sentences, tmp_path):
    stopped(themed_sentences, tmp_path)
    path = tmp_path / "checkpoint-00000001.json"
    content = json.loads(path.read_text())
    before = content["spent"]["train"]["wall"]
    assert before > 0
    resumed = train(themed_sentences, checkpoint=str(tmp_path), resume=True)
    content = json.loads((tmp_path / "checkpoint-00000002.json").read_text())
    assert resumed.seconds["train"] == content["spent"]["train"]["wall"] > before


@pytest.mark.parametrize("backend", EXACT)
def test_more_epochs_may_be_asked_for(backend, themed_sentences, tmp_path):
    """The rate goes on as if so many had been asked for from the first; the tiles stay what they were."""
    done = train(themed_sentences, backend=backend, checkpoint=str(tmp_path), epochs=2)
    assert len(list(tmp_path.glob("*.json"))) == 1
    longer = train(themed_sentences, backend=backend, checkpoint=str(tmp_path), resume=True, epochs=4)
    assert (longer.epochs_visited, len(longer.loss_per_epoch)) == (4, 4)
    assert longer.loss_per_epoch[:2] == done.loss_per_epoch

    config = Config(**(OPTIONS | OPTIONS_OF[backend] | {"epochs": 4}))
    choice = backends.choose(config)
    with trainer.encode_sentences(themed_sentences, min_count=1) as corpus:
        before = checkpoint.Checkpoint(tmp_path / "none", {"settings": done.settings})
        work = trainer.jobs.prepare(corpus, config, choice, before.tile_settings(config, choice))
        tables = done.w_in.copy(), done.w_out.copy()
        run = Run(work, backends.create_step(choice, work.job, *tables, 1), config, RunState(epoch=2))
        while not run.finished:
            run.advance()
    np.testing.assert_array_equal(longer.w_in, tables[0])
    with pytest.raises(InputError, match=r"epochs \(more may be asked for, not fewer\): 4 / 3"):
        train(themed_sentences, backend=backend, checkpoint=str(tmp_path), resume=True, epochs=3)


def test_workers_may_be_others(themed_sentences, tmp_path):
    if "native" not in EXACT:
        pytest.skip("native cannot run here")
    stopped(themed_sentences, tmp_path, 1, backend="native")
    resumed = train(themed_sentences, backend="native", checkpoint=str(tmp_path), resume=True, workers=2)
    assert resumed.epochs_visited == 3
    assert (resumed.settings["tokens_in_flight"], resumed.settings["static_cap"]) == (
        resumed.settings["tile"] * 2,
        True,
    )


def test_a_finished_run_gives_its_vectors_again(themed_sentences, tmp_path):
    options = {"checkpoint": str(tmp_path), "eval_every": 1.0, "keep_best": True, "scores": iter([1.0, 3.0, 2.0])}
    done = train(themed_sentences, **options)
    before = {path.name for path in tmp_path.iterdir()}
    assert_same(train(themed_sentences, resume=True, **options), done)
    assert {path.name for path in tmp_path.iterdir()} == before


OTHERS = {
    "alpha": ({"alpha": 0.03}, "alpha: 0.025 / 0.03"),
    "mode": ({"mode": "cbow"}, "mode: sg / cbow"),
    "tile": ({"tile": 8}, "tile: [0-9]+ / 8"),
    "negative": ({"negative": 6}, "negative: 5 / 6"),
    "two": ({"window": 4, "seed": 2}, "window: 5 / 4; seed: 1 / 2"),
    "objective": ({"objective": "nce"}, "objective: negative-sampling / nce"),
    "score": ({"eval_every": 1.0}, "eval_every: not given / 1.0"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_other_settings_are_refused_before_a_text_is_read(other, themed_sentences, tmp_path):
    options, message = OTHERS[other]
    stopped(themed_sentences, tmp_path, tile=None)

    def read():
        raise AssertionError("the text was read")
        yield

    with pytest.raises(InputError, match=rf"other settings \(then / now\): {message}; give what it was"):
        train(read(), **{"checkpoint": str(tmp_path), "resume": True, "tile": None} | options)


def test_another_backend_is_refused(themed_sentences, tmp_path):
    if "native" not in EXACT:
        pytest.skip("native cannot run here")
    stopped(themed_sentences, tmp_path, backend="native")
    with pytest.raises(InputError, match="backend: native / torch"):
        train(themed_sentences, backend="torch", checkpoint=str(tmp_path), resume=True)
    train(themed_sentences, backend="native", tile=32, checkpoint=str(tmp_path), resume=True)  # what was chosen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: [*s, ["ship"]], "read: 12000 / 12001; in_vocabulary: 12000 / 12001; words: .* / .*; ids: .* / "),
        (lambda s: [s[1], s[0], *s[2:]], "ids: [0-9a-f]{12} / [0-9a-f]{12};"),
    ],
    ids=["longer", "other-order"],
)
def test_another_corpus_is_refused(change, message, themed_sentences, tmp_path):
    stopped(themed_sentences, tmp_path)
    with pytest.raises(InputError, match=rf"other corpus \(then / now\): {message}"):
        train(change(themed_sentences), checkpoint=str(tmp_path), resume=True)


def test_another_build_is_warned_of(themed_sentences, tmp_path, monkeypatch):
    stopped(themed_sentences, tmp_path)
    monkeypatch.setattr(backends, "build_of", lambda name: "another")
    with pytest.warns(UserWarning, match=r"not to the same bits \(then / now\): build: .* / another"):
        train(themed_sentences, checkpoint=str(tmp_path), resume=True)


def test_a_folder_of_checkpoints_is_not_begun_over(themed_sentences, tmp_path):
    stopped(themed_sentences, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match="holds the checkpoints of a run: go on from them with --resume"):
        train(themed_sentences, checkpoint=str(tmp_path))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_is_one_runs_at_a_time(themed_sentences, tmp_path):
    pytest.importorskip("fcntl")
    config = Config(checkpoint=str(tmp_path))
    with checkpoint.opened(config), pytest.raises(InputError, match="in use by another run"):
        train(themed_sentences, checkpoint=str(tmp_path))
    train(themed_sentences, checkpoint=str(tmp_path))


# Files: what is written, what fails, what is damaged.


def contents(number):
    rng = np.random.default_rng(number)
    tables = [rng.normal(size=(40, 8)).astype(np.float32) for _ in range(4)]
    mined = Mined(rng.integers(40, size=(40, 3), dtype=np.int32), number)
    state = RunState(epoch=number, losses=[1 / 3] * number, scores=[{"epoch": 1.0, "score": float("nan")}])
    return Contents(state, tuple(tables[:2]), tuple(tables[2:]), mined, {"train": Seconds(1 / 7, 2.0)})


def equal(one, other):
    """Return whether contents are the same; in JSON, where NaN is like NaN."""
    arrays = [[*it.tables, *(it.best or ()), it.mined.columns] for it in (one, other)]
    rests = [json.dumps([dataclasses.asdict(it.state), it.mined.snapshot, repr(it.spent)]) for it in (one, other)]
    return rests[0] == rests[1] and all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True))


ABOUT = {"version": "0", "backend": "native", "asked": {}, "settings": {}, "corpus": {}}


@pytest.fixture
def folder(tmp_path):
    """A folder with two generations of checkpoints, those of contents(1) and contents(2)."""
    made = Folder(tmp_path / "state")
    made.path.mkdir()
    for number in (0, 1, 2):
        made.save(ABOUT, contents(number))
    return made


def test_two_generations_stay_and_come_back_whole(folder):
    names = [f"checkpoint-0000000{n}.{kind}" for n in (2, 3) for kind in ("json", "safetensors")]
    assert sorted(path.name for path in folder.path.iterdir()) == names
    assert equal(folder.newest().read(), contents(2))


def fail_at(monkeypatch, call):
    """Have the given call of open, write, fsync, replace fail, counted over all of them; returns what counts them."""
    calls = []

    def wrap(name):
        real = getattr(os, name)

        def wrapped(*arguments, **options):
            calls.append(name)
            if len(calls) == call:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, wrapped)

    for name in ("open", "write", "fsync", "replace"):
        wrap(name)
    return calls


def test_whatever_call_fails_everything_earlier_is_intact(folder, monkeypatch):
    with monkeypatch.context() as patch:
        calls = fail_at(patch, 0)
        folder.save(ABOUT, contents(3))
    assert calls.count("fsync") == 4  # two files, and their folder after each
    assert calls.count("replace") == 2
    assert calls.count("write") >= 7
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    for call in range(1, len(calls) + 1):
        with monkeypatch.context() as patch:
            fail_at(patch, call)
            with pytest.raises(
                InputError, match=r"cannot write .*No space left on device; (free space|choose another)"
            ):
                folder.save(ABOUT, contents(4))
        assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before, calls[call - 1]
    assert equal(folder.newest().read(), contents(3))
    folder.save(ABOUT, contents(4))
    assert equal(folder.newest().read(), contents(4))


def test_a_write_may_take_a_part(folder, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:100]))
    folder.save(ABOUT, contents(3))
    assert equal(folder.newest().read(), contents(3))


def test_a_failing_disk_is_warned_of_once_and_the_run_ends_well(themed_sentences, tmp_path, monkeypatch):
    whole = train(themed_sentences, epochs=5)
    monkeypatch.setattr(Folder, "prepare", lambda self, go_on: fail_from_now_on(monkeypatch))
    with pytest.warns(UserWarning, match="cannot write a checkpoint") as warned:
        result = train(themed_sentences, checkpoint=str(tmp_path), checkpoint_every=OFTEN, epochs=5)
    (one,) = warned
    assert "No space left on device; free space there" in str(one.message)
    assert "training goes on, and it is tried again every 1e-06 s" in str(one.message)
    assert_same(result, whole)
    assert not list(tmp_path.iterdir())


def fail_from_now_on(monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)


def test_a_run_that_is_to_stop_says_that_it_could_not_be_kept(themed_sentences, tmp_path, monkeypatch):
    monkeypatch.setattr(Folder, "prepare", lambda self, go_on: fail_from_now_on(monkeypatch))
    with pytest.raises(InputError, match=r"cannot write a checkpoint in .*No space left on device; free space there"):
        train(themed_sentences, checkpoint=str(tmp_path), stop_after=2)


def test_a_folder_that_cannot_be_written_to_is_refused_before_a_text_is_read(tmp_path, monkeypatch):
    fail_from_now_on(monkeypatch)
    with pytest.raises(InputError, match="No space left"):
        train((_ for _ in [1 / 0 for _ in ()]), checkpoint=str(tmp_path / "c"))


def test_tables_that_are_not_finite_are_not_written(folder):
    keeper = checkpoint.Keeper(folder, 60, ABOUT, RunState())
    broken = contents(5)
    broken.tables[1][3, 3] = np.nan
    with pytest.raises(DivergenceError, match="the vectors are not finite"):
        keeper.end(broken, needed=True)
    assert equal(folder.newest().read(), contents(2))


DAMAGES = {
    "bit": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
    "cut": lambda data: data[:-7],
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "missing": None,
}


def damage(path, how):
    if DAMAGES[how] is None:
        path.unlink()
    else:
        path.write_bytes(DAMAGES[how](path.read_bytes()))


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("kind", ["json", "safetensors"])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_used(kind, how, folder):
    damage(folder.path / f"checkpoint-00000003.{kind}", how)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert equal(folder.newest().read(), contents(1))
    said = [str(one.message) for one in warned]
    if (kind, how) == ("json", "missing"):  # then there is none
        assert not said
        return
    (message,) = said
    assert "checkpoint-00000003.json is damaged" in message
    assert "going on from the one before" in message
    damage(folder.path / f"checkpoint-00000002.{kind}", how if how != "missing" else "missing")
    with pytest.raises(InputError, match=r"00003.json is damaged .*00002.json is damaged .*none is left; begin anew"):
        folder.newest()


def test_a_damaged_checkpoint_is_no_generation(folder):
    damage(folder.path / "checkpoint-00000003.safetensors", "bit")
    with pytest.warns(UserWarning, match="00003.json is damaged"):
        folder.newest()
    folder.save(ABOUT, contents(4))
    assert sorted(path.name for path in folder.path.glob("*.json")) == [f"checkpoint-0000000{n}.json" for n in (2, 4)]
    assert len(list(folder.path.iterdir())) == 4
    damage(folder.path / "checkpoint-00000004.json", "cut")
    with pytest.warns(UserWarning, match="00004.json is damaged"):
        assert equal(folder.newest().read(), contents(1))


def test_a_run_asked_to_stop_at_its_end_ends(themed_sentences, tmp_path):
    whole = train(themed_sentences, epochs=1)
    ended = trainer.train_sentences(
        themed_sentences,
        Config(**(OPTIONS | OPTIONS_OF[EXACT[0]] | {"epochs": 1, "checkpoint": str(tmp_path)})),
        on_progress=(told := []).append,
        stop=lambda: told[-1].tokens_done == told[-1].tokens_total,
    )
    np.testing.assert_array_equal(ended.w_in, whole.w_in)


def test_the_command_exits_2_where_all_are_damaged(themed_file, tmp_path, capsys):
    from w2vfast.train import main

    words = [themed_file, "-o", tmp_path / "v.bin", *LONG, "--epochs", 1, "--checkpoint", tmp_path / "c"]
    assert main([str(word) for word in words]) == 0
    damage(tmp_path / "c" / "checkpoint-00000001.safetensors", "bit")
    capsys.readouterr()
    assert main([*map(str, words), "--resume"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "none is left; begin anew with another --checkpoint folder" in line


def test_what_a_killed_run_was_writing_is_removed(folder):
    remains = [".0a1b2c3d.checkpoint-00000004.json", "checkpoint-00000004.safetensors"]
    for name in [*remains, "notes.txt"]:
        (folder.path / name).write_text("x")
    folder.prepare(go_on=True)
    assert (folder.path / "notes.txt").exists()
    assert not any((folder.path / name).exists() for name in remains)
    assert equal(folder.newest().read(), contents(2))


def test_training_waits_for_the_copy_only(folder, monkeypatch):
    held, real = threading.Event(), checkpoint.write_synced

    def slow(path, data):
        assert held.wait(10)
        real(path, data)

    monkeypatch.setattr(checkpoint, "write_synced", slow)
    keeper, now = checkpoint.Keeper(folder, OFTEN, ABOUT, RunState()), contents(3)
    assert keeper.due
    keeper.begin(now)
    now.tables[0][...] = 0  # training goes on
    time.sleep(0.01)
    assert not keeper.due
    held.set()
    keeper._finish()
    assert keeper.due
    assert equal(folder.newest().read(), contents(3))


def test_a_checkpoint_that_is_left_off_leaves_nothing(folder, monkeypatch):
    before, real = sorted(folder.path.iterdir()), checkpoint.write_synced
    keeper = checkpoint.Keeper(folder, 60, ABOUT, RunState())

    def slow(path, data):
        keeper._stop.wait(1)
        real(path, data)

    monkeypatch.setattr(checkpoint, "write_synced", slow)
    keeper.begin(contents(3))
    keeper.close()
    assert sorted(folder.path.iterdir()) == before


def test_a_moved_folder_goes_on(themed_sentences, tmp_path):
    whole = train(themed_sentences)
    stopped(themed_sentences, tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert_same(train(themed_sentences, checkpoint=str(tmp_path / "b"), resume=True), whole)


def test_no_checkpoint_yet_is_a_run_from_the_beginning(themed_sentences, tmp_path):
    begun = train(themed_sentences, checkpoint=str(tmp_path / "new"), resume=True)
    assert (begun.resumed_from, begun.resumed_at) == (None, 0)
    np.testing.assert_array_equal(begun.w_in, train(themed_sentences).w_in)
