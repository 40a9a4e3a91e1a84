"""What tests/test_ranks.py has two ranks do: torchrun starts this file, which writes what came of each part as JSON."""

import dataclasses
import json
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest

from w2vfast import backends, checkpoint, corpus, dimension, exchange, jobs, ranks, trainer
from w2vfast.config import SUMMED, Config
from w2vfast.errors import InputError, Stopped
from w2vfast.run import Progress, RunState
from w2vfast.vectors import collect

# What a scan can trip over: two spellings of one undecodable word, ties, no line's end, nothing but white space.
TEXTS = {
    "ties": b"b a b a c d\n" * 40 + b"d c e e\n" * 30,
    "undecodable": b"x caf\xe9 y\n" * 20 + b"caf\xe8 caf\xef\xbf\xbd z x\n" * 25,
    "one line": b"one two three two one " * 60,
    "windows": b"\xef\xbb\xbfone two\r\nthree two one\r\n\r\n" * 30,
    "spaces": b"   \n\n a \t b\n" + b" " * 300 + b"\nb a c c\n" * 9,
}


def scans(found, folder):
    """Each text, alone and all together, by either scanner, is what one process finds."""
    for scanner in ("native", "python"):
        for names in ([*TEXTS], *([name] for name in TEXTS)):
            files = [folder / name for name in names]
            for options in ({"min_count": 1}, {"min_count": 2, "max_final_vocab": 4}):
                one = corpus.scan(files, scanner=scanner, **options)
                shared = corpus.scan(files, scanner=scanner, ranks=found, **options)
                assert (shared.vocab.words, shared.ledger) == (one.vocab.words, one.ledger), (scanner, names, options)
                assert shared.vocab.counts.tolist() == one.vocab.counts.tolist()
                tokens = np.concatenate(found.gather(shared.tokens))
                assert (tokens & 2**31 - 1).tolist() == (one.tokens & 2**31 - 1).tolist()
                if "one line" not in names:  # it is cut where no sentence ends
                    assert tokens.tolist() == one.tokens.tolist()
                    assert shared.sentences == one.sentences
    vocab = corpus.scan([folder / "ties"], min_count=1).vocab
    shared = corpus.scan([folder / "ties"], min_count=1, vocab=vocab, ranks=found)
    assert (
        np.concatenate(found.gather(shared.tokens)).tolist()
        == corpus.scan([folder / "ties"], min_count=1).tokens.tolist()
    )
    bounded = corpus.scan([folder / "ties", folder / "windows"], min_count=1, max_vocab_size=5, ranks=found)
    assert 2 <= len(bounded.vocab) <= 5
    for files, cause in (([folder / "empty.gz"], "would have none of it"), ([folder / "absent"], "cannot read")):
        with pytest.raises(InputError, match=cause):
            corpus.scan(files, ranks=found)


def kept_scans(found, folder):
    """A kept scan is taken where all ranks have theirs, and is one part's."""
    config = Config(min_count=1, cache_dir=str(folder / "kept"), workers=1)
    first = trainer.scan_files([folder / "ties"], config, ranks=found)
    tokens = first.tokens.copy()
    second = trainer.scan_files([folder / "ties"], config, ranks=found)
    assert second.kept is not None
    assert np.array_equal(second.tokens, tokens)
    assert second.vocab.words == first.vocab.words
    if found.rank == 1:
        second.kept.unlink()
    third = trainer.scan_files([folder / "ties"], config, ranks=found)
    assert np.array_equal(third.tokens, tokens)


def differences(found, folder):
    """Other settings and other texts are shown."""
    (folder / f"of {found.rank}").mkdir(exist_ok=True)
    own = folder / f"of {found.rank}" / "text"
    own.write_bytes(b"a b c\n" * (40 + found.rank))
    config = Config(min_count=1, workers=1)
    for texts, given, cause in (
        ([own], config, "text: 240 bytes"),
        ([folder / "ties"], dataclasses.replace(config, window=4 + found.rank), "window: 4 / 5"),
        (
            [folder / "ties"],
            dataclasses.replace(config, backend=("native", "torch")[found.rank]),
            "backend: native / torch",
        ),
    ):
        with pytest.raises(InputError, match=rf"ranks differ \(rank 0 / rank 1\): .*{cause}"):
            trainer.train_files(texts, given, ranks=found)


class _Still:
    """A step whose tables change only as a test says."""

    def __init__(self, w_in, w_out):
        self._tables = w_in, w_out

    def live(self):
        return self._tables


class _Places:
    """A run of one slot a place."""

    slots = 8

    def __init__(self, state):
        self.state = state

    def slots_done(self, place):
        return place

    def place_of(self, slot):
        return slot


def merging(found, folder):
    """An exchange puts the scaled sum in place of each rank's change, keeps what came since, and is the same on all."""
    rng = np.random.default_rng(found.rank)
    texts = corpus.scan([folder / "ties"], min_count=1, ranks=found)
    config = Config(min_count=1, vector_size=3, workers=1)
    work = jobs.prepare(texts, config, backends.choose(config), None, found.size)
    work, sharing = exchange.share(texts, work, config, found)
    tables = tuple(np.full((len(texts.vocab), 3), found.rank, np.float32) for _ in range(2))
    kept = texts.vocab.counts * 1.0
    exchanges = exchange.Exchange(found, sharing, _Still(*tables), work, config, kept)
    assert all((table == 0).all() for table in tables), "rank 0's tables are what all begin with"
    run = _Places(RunState(trained=100))
    progress = Progress(0, 2, 8, 0, 1, 0.5, 0.0, None)
    changes = [rng.normal(size=table.shape).astype(np.float32) for table in tables]
    for table, change in zip(tables, changes, strict=True):
        table += change
    exchanges.follow(run, progress, stop=found.rank == 1, due=False)
    for table in tables:
        table += 10  # trained while the exchange is under way
    assert not exchanges.stop
    exchanges.follow(run, dataclasses.replace(progress, place=3), stop=False, due=False)
    assert exchanges.stop, "what one rank asks for all hear"
    assert not exchanges.due
    weights = jobs.static_weights(kept, config, work.job.objective, 1)
    for table, change, weight in zip(tables, changes, weights, strict=True):
        both = sum(part.reshape(change.shape) for part in found.gather(change.reshape(-1)))
        a = exchange.CURVATURE * 0.5 * weight.astype(np.float64) * 100
        scale = (1 - np.exp(-2 * a)) / (2 * (1 - np.exp(-a)))
        np.testing.assert_allclose(table, 10 + both * scale[:, None], rtol=1e-5, atol=1e-5)
    # Both ranks' ten more are what `merged` returns, and nothing is changed by it.
    before = [table.copy() for table in tables]
    run.state = dataclasses.replace(run.state, trained=140)
    merged = exchanges.merged(run, tables)
    assert all(np.array_equal(table, old) for table, old in zip(tables, before, strict=True))
    for table, result, weight in zip(tables, merged, weights, strict=True):
        others = found.gather(result.reshape(-1))
        assert np.array_equal(others[0], others[1])
        a = exchange.CURVATURE * 0.5 * weight.astype(np.float64) * 40
        scale = (1 - np.exp(-2 * a)) / (2 * (1 - np.exp(-a)))
        np.testing.assert_allclose(result, table - 10 + 20 * scale[:, None], rtol=1e-4, atol=1e-4)


def training(found, folder):
    """Two ranks learn the themes, end with the same tables, and do the same again bit for bit."""
    config = Config(min_count=1, vector_size=12, epochs=4, workers=1, alpha=0.1, sample=0.0, eval_every=2.0)
    for other in ({}, {"deterministic": True}, {"backend": "torch", "device": "cpu", "mode": "cbow"}):
        given = dataclasses.replace(config, **other)
        results = [
            trainer.train_files(
                [folder / "themed"], given, ranks=found, evaluate=lambda vectors: float(vectors.vectors[0, 0])
            )
            for _ in range(2)
        ]
        assert np.array_equal(results[0].w_in, results[1].w_in), other
        assert np.array_equal(results[0].w_out, results[1].w_out), other
        here = results[0]
        for table in (here.w_in, here.w_out):
            of_all = found.gather(table.reshape(-1))
            assert np.array_equal(of_all[0], of_all[1])
        assert here.tokens["in_vocabulary"] * 4 == here.tokens["trained"] + here.tokens["subsampled"]
        assert here.epochs_visited == 4
        assert len(here.scores) == 2
        assert found.objects(here.scores)[0] == here.scores
        assert here.ranks["ranks"] == 2
        assert here.ranks["exchanges"] > 4
        (folder / "vectors.json").write_text(json.dumps([here.vocab.words, here.w_in.tolist()]))


def checkpoints(found, folder):
    """A run that one rank stops goes on from its checkpoint to the same bits; on other terms it is refused."""
    config = Config(min_count=1, vector_size=12, epochs=4, workers=1, alpha=0.1, sample=0.0, exchange_every=1000)
    whole = trainer.train_files([folder / "themed"], config, ranks=found)
    config = dataclasses.replace(config, checkpoint=str(folder / "state"), checkpoint_every=0.2)
    advances = 0

    def stop():
        nonlocal advances
        advances += 1
        return found.rank == 1 and advances > 9

    for _ in range(2):
        advances = 0
        with pytest.raises(Stopped, match="goes on from there"):
            trainer.train_files([folder / "themed"], config, ranks=found, stop=stop)
        found.objects(None)
        config = dataclasses.replace(config, resume=True)
    for other, cause in (({"epochs": 5}, "epochs"), ({"window": 4}, "window: 5 / 4")):
        with pytest.raises(InputError, match=cause):
            trainer.train_files([folder / "themed"], dataclasses.replace(config, **other), ranks=found)
        found.objects(None)
    resumed = trainer.train_files([folder / "themed"], config, ranks=found)
    assert resumed.resumed_from is not None
    assert np.array_equal(resumed.w_in, whole.w_in)
    assert np.array_equal(resumed.w_out, whole.w_out)
    assert resumed.tokens == whole.tokens
    finished = trainer.train_files([folder / "themed"], config, ranks=found)
    assert np.array_equal(finished.w_in, whole.w_in)
    assert np.array_equal(finished.w_out, whole.w_out)
    # A part that is damaged makes all go on from the checkpoint before.
    newest = max(folder.glob("state/*.rank-1.safetensors"))
    found.objects(None)
    if found.leads:
        newest.write_bytes(newest.read_bytes()[:-1] + b"x")
    found.objects(None)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        again = trainer.train_files([folder / "themed"], config, ranks=found)
    assert "going on from the one before" in str(told[0].message)
    assert np.array_equal(again.w_in, whole.w_in)


def slow(found, folder):
    """A rank that takes twice as long is named while training goes on."""
    config = Config(min_count=1, vector_size=4, epochs=4, workers=1, exchange_every=500, sample=0.0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trainer.train_files(
            [folder / "themed"], config, ranks=found, on_progress=lambda _: time.sleep(0.01 * (found.rank == 1))
        )
    assert sum("rank 1 takes" in str(one.message) for one in told) == found.leads


def apart(found, folder):
    """A checkpoint folder that ranks do not share is refused."""
    config = Config(min_count=1, workers=1, checkpoint=str(folder / f"state of {found.rank}"))
    Path(config.checkpoint).mkdir(exist_ok=True)
    with pytest.raises(InputError, match=r"ranks differ .*checkpoint"):
        trainer.train_files([folder / "themed"], config, ranks=found)
    with pytest.raises(InputError, match="does not see what rank"):
        checkpoint.Folder(Path(config.checkpoint)).refuse_unshared(found)


DIMENSIONED = [{"mode": mode, "objective": objective} for mode in ("sg", "cbow") for objective in SUMMED[:2]] + [
    {"objective": objective} for objective in SUMMED[2:]
]


def dimensions(found, folder):
    """Ranks with some dimensions each come to what one process comes to, and rank 0 can read all of it."""
    base = Config(min_count=1, vector_size=7, epochs=2, workers=1, backend="torch", device="cpu", sample=0.0)
    base = dataclasses.replace(base, tokens_in_flight=512)
    for options in DIMENSIONED:
        given = dataclasses.replace(base, **options)
        one = trainer.train_files([folder / "themed"], given)
        config = dataclasses.replace(given, parallel="dimension", eval_every=1.0)
        seen: list = []

        def evaluate(vectors, seen=seen):
            seen.append(vectors.vectors.copy())
            return float(vectors.vectors[0, 0])

        here = trainer.train_files([folder / "themed"], config, ranks=found, evaluate=evaluate)
        assert here.w_in.shape == (len(one.vocab), (3, 4)[found.rank])
        own = here.dimensions.own
        for table, right in ((here.w_in, one.w_in), (here.w_out, one.w_out)):
            np.testing.assert_allclose(table, right[:, own], rtol=1e-4, atol=1e-5, err_msg=str(options))
            assert np.ptp(table, 0).min() > 0.05, options
        assert here.tokens == one.tokens
        assert here.loss_per_epoch == pytest.approx(one.loss_per_epoch, rel=1e-5)
        assert found.objects(here.scores)[0] == here.scores
        with here.streams() as stream:
            assert (stream is not None) == found.leads
            if stream is not None:
                whole = [collect(stream()) for _ in range(2)][1]
                np.testing.assert_allclose(whole.vectors, one.w_in, rtol=1e-4, atol=1e-5)
                assert whole.words == one.vocab.words
                assert np.array_equal(seen[-1], whole.vectors)
                assert here.scores[1]["score"] == float(whole.vectors[0, 0])
        with pytest.raises(InputError, match="some dimensions"):
            _ = here.vectors


def resumed_dimensions(found, folder):
    """A run with some dimensions a rank goes on from checkpoints of as many ranks, to the same bits, or of others."""
    config = Config(min_count=1, vector_size=7, epochs=3, workers=1, backend="torch", device="cpu", alpha=0.1)
    config = dataclasses.replace(config, parallel="dimension")
    whole = trainer.train_files([folder / "themed"], config, ranks=found)
    config = dataclasses.replace(config, checkpoint=str(folder / "dimensions"), checkpoint_every=0.1)
    patch = pytest.MonkeyPatch()
    if found.rank == 1:  # what a run before may have left lies there while this one's is late
        found.tell_lead("checkpoint-00000001", "{}")
        tell = found.tell_lead
        patch.setattr(found, "tell_lead", lambda *message: (time.sleep(0.3), tell(*message)))
    advances = 0

    def stop():
        nonlocal advances
        advances += 1
        return found.rank == 1 and advances > 5

    with pytest.raises(Stopped, match="goes on from there"):
        trainer.train_files([folder / "themed"], config, ranks=found, stop=stop)
    patch.undo()
    found.objects(None)
    config = dataclasses.replace(config, resume=True)
    with whole.streams() as stream:
        if stream is not None:
            np.save(folder / "whole.npy", collect(stream()).vectors)
            shutil.copytree(folder / "dimensions", folder / "stopped")
    newest = max(folder.glob("dimensions/*.json"))
    had = [checkpoint.Checkpoint(newest, checkpoint._read_about(newest, r, 2), r, 2).read().tables for r in range(2)]
    for other in (1, 3, 7):
        read = checkpoint.Checkpoint(newest, checkpoint._read_about(newest), 0, other)
        read.refuse_other_run(config, backends.choose(config))
        tables = [read.read(part, 7).tables for part in dimension.slices(7, other)]
        for side in range(2):
            parts = [np.concatenate([table[side] for table in of_all], 1) for of_all in (had, tables)]
            assert np.array_equal(*parts)
    resumed = trainer.train_files([folder / "themed"], config, ranks=found)
    assert resumed.resumed_from is not None
    assert np.array_equal(resumed.w_in, whole.w_in)
    assert np.array_equal(resumed.w_out, whole.w_out)


def main(folder):
    folder = Path(folder)
    came = {}
    with ranks.joined(60) as found:
        parts = (scans, kept_scans, differences, merging, training, checkpoints, apart, slow)
        for part in (*parts, dimensions, resumed_dimensions):
            try:
                part(found, folder)
                problem = None
            except BaseException:
                problem = traceback.format_exc()
            came[part.__name__] = [told for told in found.objects(problem) if told]
        if found.leads:
            (folder / "came.json").write_text(json.dumps(came))


if __name__ == "__main__":
    main(sys.argv[1])
