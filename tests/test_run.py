"""A run that is stopped and taken up again, its account, its stages' times, and tables handed in."""

import dataclasses
import itertools
import json
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.parity import make_case, zipf_ids
from w2vfast import backends, jobs, plan, run, scoring, trainer
from w2vfast.config import Config
from w2vfast.corpus import encode_sentences
from w2vfast.errors import InputError
from w2vfast.kernels.mapped import release
from w2vfast.run import Run, RunState
from w2vfast.scoring import Scoring

EXACT = [name for name in ("native", "torch") if backends.unavailable_reason(name) is None]
OPTIONS = {"vector_size": 8, "min_count": 1, "workers": 1, "epochs": 3, "sample": 1e-2}


class Toy:
    """A corpus of 12,000 words, made ready to be run over: 47 chunks, torch visits three at a time."""

    def __init__(self, backend, sentences, **options):
        if backend == "torch":
            options = {"tile": 16, "tokens_in_flight": 48} | options
        self.config = Config(backend=backend, **(OPTIONS | options))
        self.corpus = encode_sentences(sentences, min_count=1)
        self.choice = backends.choose(self.config)
        self.work = jobs.prepare(self.corpus, self.config, self.choice)

    def tables(self):
        V = len(self.corpus.vocab)
        return plan.initial_vectors(V, 8, self.config.seed), np.zeros((V, 8), np.float32)

    def run(self, tables, state=None):
        return Run(self.work, backends.create_step(self.choice, self.work.job, *tables, 1), self.config, state)


@pytest.fixture(scope="module", params=EXACT)
def toy(request, themed_sentences):
    return Toy(request.param, themed_sentences)


def finish(started, stop_after=None):
    """Advance a run to its end, or so many times; returns what it told."""
    told = []
    while not started.finished and len(told) != stop_after:
        told.append(started.advance())
    return told


def assert_same_state(state, other):
    """All numbers alike, but the loss: a sum of floats, whose last bit depends on how many chunks an advance took."""
    loose = {"losses": pytest.approx(other.losses, rel=1e-12), "epoch_loss": pytest.approx(other.epoch_loss, rel=1e-12)}
    assert dataclasses.asdict(state) == dataclasses.asdict(other) | loose


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_run_taken_up_again_ends_in_the_same_bits(toy, stop_after):
    undisturbed, tables = toy.tables(), toy.tables()
    whole = toy.run(undisturbed)
    finish(whole)

    first = toy.run(tables)
    finish(first, stop_after)
    assert not first.finished
    saved = json.loads(json.dumps(dataclasses.asdict(first.state)))
    copies = tuple(table.copy() for table in first.step.tables())
    again = toy.run(copies, RunState(**saved))
    assert again.state == first.state
    finish(again)

    for table, right in zip(copies, undisturbed, strict=True):
        np.testing.assert_array_equal(table, right)
    assert_same_state(again.state, whole.state)
    assert np.abs(copies[0] - tables[0]).max() > 1e-3  # the run that was left was not touched


@pytest.mark.parametrize("backend", EXACT)
@pytest.mark.parametrize("stop_after", [1, 4])
def test_the_first_half_of_a_run_has_the_early_negatives(backend, stop_after, themed_sentences, monkeypatch):
    monkeypatch.setattr(run, "REPORT_SECONDS", 10)  # as many chunks at once as they may be
    toy = Toy(backend, themed_sentences, shared_negatives=24, early_negatives=8, deterministic=True)
    visits = []

    def recorded(started):
        train = started.step.train
        monkeypatch.setattr(started.step, "train", lambda visit: visits.append(visit) or train(visit))
        return started

    first = recorded(toy.run(toy.tables()))
    finish(first, stop_after)
    finish(recorded(toy.run(first.step.tables(), first.state)))
    size, group = toy.work.job.chunk_size, first.group
    half = len(toy.corpus.tokens) * 3 / 2
    for visit in visits:
        early = visit.done + size * group <= half  # a group is not parted
        assert {8} == {visit.shared_words} if early.all() else visit.shared_words in (8, 24)
        assert visit.shared_words == 24 or (visit.done < half).all()
    assert {visit.shared_words for visit in visits} == {8, 24}
    assert len(np.concatenate([visit.chunks for visit in visits])) == 3 * first.chunks


def test_losses_too_are_the_same_bits_where_advances_are(toy, monkeypatch):
    monkeypatch.setattr(run, "REPORT_SECONDS", 0)  # one group an advance
    whole, first = toy.run(toy.tables()), toy.run(toy.tables())
    finish(whole)
    finish(first, 5)
    again = toy.run(first.step.tables(), first.state)
    finish(again)
    assert again.state == whole.state


def test_how_much_an_advance_takes_changes_no_bit(toy, monkeypatch):
    ends = []
    for seconds in (0, 1e9):
        monkeypatch.setattr(run, "REPORT_SECONDS", seconds)
        tables = toy.tables()
        started = toy.run(tables)
        told = finish(started)
        ends.append((tables, started.state, len(told)))
    assert ends[0][2] > 2 * ends[1][2]
    for one, other in zip(ends[0][0], ends[1][0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert_same_state(ends[0][1], ends[1][1])


def test_a_run_stops_where_it_is_asked_to(toy):
    started = toy.run(toy.tables())
    progress = started.advance(started.group)
    assert (progress.epoch, progress.place, started.state.place) == (0, started.group, started.group)
    assert progress.epochs == pytest.approx(started.group / started.chunks)
    while started.state.epoch == 0:
        progress = started.advance()
    assert (progress.epoch, progress.place, progress.epochs) == (0, started.chunks, 1)
    assert (started.state.epoch, started.state.place) == (1, 0)


def test_the_ledger_adds_up_at_every_place(toy):
    started, before = toy.run(toy.tables()), RunState()
    n = len(toy.corpus.tokens)
    while not started.finished:
        started.advance()
        state = started.state
        assert before.visited < state.visited <= 3 * n
        assert before.trained < state.trained < state.visited
        assert before.pairs < state.pairs
        assert len(state.losses) == state.epoch
        before = state
    assert before.visited == 3 * n
    assert len(before.loss_per_epoch) == 3


def test_a_state_is_never_changed(toy):
    started = toy.run(toy.tables())
    finish(started, 2)
    kept = started.state
    copy = RunState(**json.loads(json.dumps(dataclasses.asdict(kept))))
    started.state = started.state.scored(0.5, 3.0)
    finish(started)
    assert kept == copy


@pytest.mark.parametrize("place", [{"epoch": 4}, {"epoch": -1}, {"place": 1000}, {"place": -1}], ids=str)
def test_a_state_of_another_run_is_refused(toy, place):
    with pytest.raises(ValueError, match="no such run"):
        toy.run(toy.tables(), RunState(**place))


def test_a_place_within_a_group_is_refused(themed_sentences):
    """A batch is made of chunks of one group: torch would batch others than the run that was left."""
    toy = Toy("torch", themed_sentences)
    assert toy.run(toy.tables(), RunState(place=3)).state.place == 3
    with pytest.raises(ValueError, match="no such run"):
        toy.run(toy.tables(), RunState(place=4))


def test_scores_and_the_best_tables_go_along(toy):
    """Kept at a place, the state and the best tables are all that scoring needs to go on."""
    config = dataclasses.replace(toy.config, eval_every=0.5, keep_best=True, patience=4)
    values = [3.0, 5.0, 1.0, 5.0, 4.0, 2.0]

    def scored_run(cut):
        """Return the end of a run whose state and best tables were saved, and loaded anew, after `cut` scores."""
        scores, tables = iter(values), toy.tables()
        scoring_of = lambda best: Scoring(config, lambda _: next(scores), toy.corpus.vocab, best)  # noqa: E731
        started, scored = toy.run(tables), scoring_of(None)
        while not (started.finished or scored.out_of_patience(started.state)):
            scored.follow(started, started.advance(scored.next_place(started)))
            if len(started.state.scores) == cut:
                cut = None
                state = RunState(**json.loads(json.dumps(dataclasses.asdict(started.state))))
                started, scored = toy.run(tables, state), scoring_of(tuple(table.copy() for table in scored.best))
        scored.restore_best(*tables)
        return started.state, tables

    (whole, undisturbed), (again, tables) = scored_run(None), scored_run(3)
    assert [entry["score"] for entry in again.scores] == values
    assert again.scores == whole.scores
    for table, right in zip(tables, undisturbed, strict=True):
        np.testing.assert_array_equal(table, right)


def test_patience_counts_from_the_first_best_and_nan_is_below_all():
    state = RunState()
    for values, since in (([], 0), ([1.0], 0), ([2.0, 2.0], 1), ([2.0, 1.0, 3.0], 0), ([np.nan, 1.0, np.nan], 1)):
        state = RunState(scores=[{"epoch": 1.0, "score": value} for value in values])
        assert scoring.scores_since_best(state) == since, values


def train(sentences, **options):
    evaluate, tables = options.pop("evaluate", None), options.pop("tables", None)
    return trainer.train_sentences(sentences, Config(**(OPTIONS | options)), evaluate=evaluate, tables=tables)


def test_speed_counts_what_patience_let_be_visited(themed_sentences):
    falling = itertools.count(0, -1)
    options = {"epochs": 5, "eval_every": 0.5, "patience": 3, "evaluate": lambda _: next(falling)}
    result = train(themed_sentences, **options)
    assert result.epochs_visited == pytest.approx(2, abs=0.1)
    tokens = result.tokens
    assert tokens["trained"] + tokens["subsampled"] == result.epochs_visited * tokens["in_vocabulary"]
    assert result.scores[-1]["epoch"] == pytest.approx(result.epochs_visited, abs=0.1)
    speed = tokens["read"] * result.epochs_visited / result.seconds["train"]
    assert result.raw_words_per_second == pytest.approx(speed)


def test_stages_are_timed_apart(themed_sentences, monkeypatch):
    def slow(made, seconds):
        def wrapped(*arguments, **options):
            time.sleep(seconds)
            return made(*arguments, **options)

        return wrapped

    monkeypatch.setattr(backends, "create_step", slow(backends.create_step, 0.3))
    monkeypatch.setattr(trainer, "encode_sentences", slow(trainer.encode_sentences, 0.5))
    result = train(themed_sentences[:100], eval_every=1, evaluate=slow(lambda _: 1.0, 0.2))
    seconds = result.seconds
    assert seconds["scan"] > 0.5
    assert 0.3 < seconds["setup"] < 0.3 + 0.5
    assert seconds["evaluate"] > 3 * 0.2
    assert 0 < seconds["train"] < 3 * 0.2


@pytest.mark.parametrize("mode", ["sg", "cbow"])
def test_pairs_are_counted_over_all_that_was_visited(mode, themed_sentences):
    """Fixed windows of one word in sentences of eight: seven neighbours each way, eight windows."""
    result = train(themed_sentences[:100], mode=mode, sample=0.0, window=1, shrink_windows=False, tile=8)
    if mode == "cbow":
        # Where a chunk ends, a sentence is cut, and a word alone has no window.
        assert 3 * 100 * 8 - 20 <= result.pairs <= 3 * 100 * 8
    else:
        assert 3 * 100 * 14 - 40 <= result.pairs <= 3 * 100 * 14


@pytest.mark.parametrize("backend", EXACT)
def test_tables_handed_in_are_trained_in_place(backend, themed_sentences):
    made = train(themed_sentences, backend=backend)
    V = len(made.vocab)
    tables = plan.initial_vectors(V, 8, 1), np.zeros((V, 8), np.float32)
    result = train(themed_sentences, backend=backend, tables=tables)
    assert result.w_in is tables[0]
    assert result.w_out is tables[1]
    np.testing.assert_array_equal(tables[0], made.w_in)
    further = train(themed_sentences, backend=backend, tables=tuple(table.copy() for table in tables))
    assert further.loss_per_epoch[0] < made.loss_per_epoch[0] - 0.1


def test_the_arrays_given_hold_the_best_vectors(themed_sentences):
    shown, scores = [], iter([1.0, 3.0, 2.0])

    def evaluate(vectors):
        shown.append(vectors.vectors.copy())
        return next(scores)

    tables = np.ones((24, 8), np.float32), np.zeros((24, 8), np.float32)
    result = train(themed_sentences, tables=tables, eval_every=1, keep_best=True, evaluate=evaluate)
    assert result.w_in is tables[0]
    np.testing.assert_array_equal(tables[0], shown[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, o: (i[:, :4], o), r"w_in is float32 \[24, 4\], this run's is float32 \[24, 8\]"),
        (lambda i, o: (i, o[:-1]), r"w_out is float32 \[23, 8\]"),
        (lambda i, o: (i.astype(np.float64), o), "w_in is float64"),
        (lambda i, o: (np.asfortranarray(i), o), "w_in is trained in place: it must be C-contiguous"),
        (lambda i, o: (i, np.broadcast_to(o[:1], o.shape)), "w_out is trained in place"),
        (lambda i, o: (i, i), "must not overlap"),
    ],
    ids=["vector-size", "rows", "dtype", "order", "read-only", "overlap"],
)
def test_tables_that_do_not_fit_are_refused(change, message, themed_sentences):
    tables = np.zeros((24, 8), np.float32), np.zeros((24, 8), np.float32)
    with pytest.raises(InputError, match=message):
        train(themed_sentences, tables=change(*tables))


def resident_file_pages():
    """Return the bytes of files that this process holds in memory."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssFile:"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
@pytest.mark.parametrize("backend", EXACT)
def test_tokens_in_a_file_stay_out_of_memory(backend, tmp_path):
    """They teach what the same ones in memory do; of their 16 MB no more than some chunks' pages stay behind."""
    ids = np.tile(zipf_ids(50, 1 << 16), 64)
    file = np.memmap(tmp_path / "ids", np.int32, "w+", shape=ids.shape)
    file[:] = ids
    release(file)
    options = {"window": 1, "sample": 1e-5, "shared_words": 4}
    if backend == "torch":
        options |= {"tokens_in_flight": 4096, "row_cap": "batch"}
    tables = []
    for tokens in (ids, file):
        job, visit = make_case(tokens=tokens, chunk_size=4096, **options)
        before = resident_file_pages()
        w_in, w_out = plan.initial_vectors(50, 4, 1), np.zeros((50, 4), np.float32)
        step = backends.module_of(backend).create_step(job, w_in, w_out, device="cpu", workers=1)
        step.train(visit)
        if backend == "torch":
            release(tokens)  # the run does so after each visit
        assert tokens is ids or resident_file_pages() - before < 8e6
        tables.append((w_in, w_out))
    for in_memory, mapped in zip(*tables, strict=True):
        np.testing.assert_array_equal(in_memory, mapped)


@pytest.mark.parametrize("backend", EXACT)
def test_a_copy_of_mapped_tokens_and_one_written_to_apart_keep_what_they_hold(backend, tmp_path):
    """Both have the type of a mapped array, and letting go of their pages would lose it."""
    ids = zipf_ids(50, 9000)
    ids.tofile(tmp_path / "ids")
    apart = np.memmap(tmp_path / "ids", np.int32, "c")
    apart[:4096] = 7
    for tokens in (np.memmap(tmp_path / "ids", np.int32, "r").copy(), apart):
        before = np.array(tokens)
        job, visit = make_case(tokens=tokens, chunk_size=1024)
        w_in, w_out = plan.initial_vectors(50, 4, 1), np.zeros((50, 4), np.float32)
        backends.module_of(backend).create_step(job, w_in, w_out, device="cpu", workers=1).train(visit)
        release(tokens)
        np.testing.assert_array_equal(tokens, before)
