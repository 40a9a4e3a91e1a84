"""Checkpoints of gensim's class: a training that crashed goes on by the same lines, and ends in the same bits."""

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("gensim")
from gensim.models.callbacks import CallbackAny2Vec

from w2vfast import Checkpoints, Word2Vec, backends, model
from w2vfast.checkpoint import Keeper
from w2vfast.errors import InputError

EXACT = [name for name in ("native", "torch") if backends.unavailable_reason(name) is None]
OPTIONS = {"vector_size": 8, "min_count": 1, "workers": 1, "epochs": 3, "sample": 1e-2, "seed": 3}
OPTIONS_OF = {"native": {"backend": "native"}, "torch": {"backend": "torch", "tile": 16, "tokens_in_flight": 48}}


class Crash(Exception):
    """What a power cut would be."""


@pytest.fixture
def crash_after(monkeypatch):
    """Have training end, with an exception, after so many advances that each left a checkpoint."""

    def set_up(advances):
        places = []
        real = Checkpoints.came_to

        def came_to(self, *arguments):
            real(self, *arguments)
            self._keeper._finish()
            places.append(arguments)
            if len(places) == advances:
                raise Crash

        monkeypatch.setattr(Keeper, "due", property(lambda _: True))
        monkeypatch.setattr(Checkpoints, "came_to", came_to)

    return set_up


def train(sentences, backend=EXACT[0], folder=None, **options):
    callbacks = options.pop("callbacks", []) + ([] if folder is None else [Checkpoints(folder)])
    return Word2Vec(sentences, **OPTIONS | OPTIONS_OF[backend] | options, callbacks=callbacks)


def assert_same(model, other):
    for name in ("syn1neg", "syn1"):
        assert hasattr(model, name) == hasattr(other, name)
        if hasattr(model, name):
            np.testing.assert_array_equal(getattr(model, name), getattr(other, name))
    np.testing.assert_array_equal(model.wv.vectors, other.wv.vectors)
    assert model.loss_per_epoch == pytest.approx(other.loss_per_epoch, rel=1e-12)
    assert model.running_training_loss == pytest.approx(other.running_training_loss, rel=1e-12)
    assert model.draw_epochs == other.draw_epochs


KINDS = {
    "sg": {"sg": 1},
    "cbow": {"compute_loss": True},
    "tree": {"hs": 1, "negative": 0},
    "both": {"hs": 1, "sg": 1},
    "softmax": {"objective": "softmax"},
}


@pytest.mark.parametrize(
    ("backend", "kind", "advances"),
    [*((EXACT[0], kind, advances) for kind in KINDS for advances in (1, 4)), (EXACT[-1], "sg", 3)],
)
def test_a_training_that_crashed_ends_in_the_same_bits(
    backend, kind, advances, themed_sentences, tmp_path, crash_after
):
    sentences = themed_sentences[:500]
    whole = train(sentences, backend, **KINDS[kind])
    crash_after(advances)
    with pytest.raises(Crash):
        train(sentences, backend, tmp_path, **KINDS[kind])
    crash_after(10**9)
    assert_same(train(sentences, backend, tmp_path, **KINDS[kind]), whole)
    # Once more: it is done, and gives its vectors again.
    assert_same(train(sentences, backend, tmp_path, **KINDS[kind]), whole)


@pytest.mark.parametrize("advances", [2, 5, 8])
def test_a_stream_of_blocks_goes_on_within_an_epoch(advances, themed_sentences, tmp_path, monkeypatch, crash_after):
    monkeypatch.setattr(model, "STREAM_TOKENS", 4000)
    whole = train(themed_sentences)
    crash_after(advances)
    with pytest.raises(Crash):
        train(themed_sentences, folder=tmp_path)
    crash_after(10**9)
    assert_same(train(themed_sentences, folder=tmp_path), whole)


def test_a_file_goes_on(themed_file, tmp_path, crash_after):
    options = OPTIONS | {"corpus_file": str(themed_file)}
    whole = Word2Vec(**options)
    crash_after(3)
    with pytest.raises(Crash):
        Word2Vec(**options, callbacks=[Checkpoints(tmp_path / "state", every=1)])
    crash_after(10**9)
    assert_same(Word2Vec(**options, callbacks=[Checkpoints(tmp_path / "state", every=1)]), whole)


def test_a_call_of_train_goes_on_and_callbacks_hear_of_all_epochs(themed_sentences, tmp_path, crash_after):
    class Count(CallbackAny2Vec):
        def __init__(self):
            self.epochs = 0

        def on_epoch_end(self, _):
            self.epochs += 1

    def made():
        model = Word2Vec(**OPTIONS | {"seed": None})
        model.build_vocab(themed_sentences)
        return model

    crash_after(3)
    count, crashed = Count(), made()
    how = {"total_examples": len(themed_sentences), "epochs": 3}
    with pytest.raises(Crash):
        crashed.train(themed_sentences, callbacks=[Checkpoints(tmp_path)], **how)
    crash_after(10**9)
    resumed = made()
    resumed.train(themed_sentences, callbacks=[Checkpoints(tmp_path), count], **how)
    assert count.epochs == 3
    assert len(resumed.loss_per_epoch) == 3
    crashed.train(themed_sentences, callbacks=[Checkpoints(tmp_path)], **how)  # of the same seed, drawn by the first
    assert_same(crashed, resumed)


def test_more_epochs_may_be_asked_for_and_not_fewer(themed_sentences, tmp_path):
    train(themed_sentences, folder=tmp_path, epochs=2)
    longer = train(themed_sentences, folder=tmp_path, epochs=4)
    assert len(longer.loss_per_epoch) == 4
    with pytest.raises(InputError, match=r"epochs \(more may be asked for, not fewer\): 4 / 3"):
        train(themed_sentences, folder=tmp_path, epochs=3)


REFUSED = {
    "settings": ({"alpha": 0.03, "sg": 1}, r"mode: cbow / sg; .*alpha: 0.025 / 0.03"),
    "words": ({"min_count": 480}, r"other corpus \(then / now\): vocabulary_size: 24 / "),
}


@pytest.mark.parametrize("what", REFUSED)
def test_another_model_is_refused(what, themed_sentences, tmp_path):
    train(themed_sentences, folder=tmp_path)
    options, message = REFUSED[what]
    with pytest.raises(InputError, match=message):
        train(themed_sentences, folder=tmp_path, **options)
    with pytest.raises(InputError, match="read: 12000 / 12001"):
        train([*themed_sentences, ["ship"]], folder=tmp_path)
    train(themed_sentences, folder=tmp_path)  # the folder is free again


def test_what_is_asked_for_in_vain_is_refused(themed_sentences, tmp_path):
    train(themed_sentences, folder=tmp_path)
    with pytest.raises(InputError, match="go on from them with --resume"):
        train(themed_sentences, callbacks=[Checkpoints(tmp_path, resume=False)])
    with pytest.raises(InputError, match="two callbacks write checkpoints"):
        train(themed_sentences, callbacks=[Checkpoints(tmp_path), Checkpoints(tmp_path / "b")])
    with pytest.raises(InputError, match="gensim's own loop"):
        Word2Vec([["a", "a"]] * 9, min_count=1, callbacks=[Checkpoints(tmp_path / "c")])
    with pytest.raises(InputError, match="every must be above 0 seconds, not 0"):
        Checkpoints(tmp_path, every=0)


def test_a_model_is_saved_and_copied_with_its_callback_at_hand(themed_sentences, tmp_path):
    kept = Checkpoints(tmp_path / "state", every=5)
    trained = train(themed_sentences, callbacks=[kept])
    copy.deepcopy(trained).save(str(tmp_path / "m"))
    assert pickle.loads(pickle.dumps(kept)).every == 5
