"""Checkpoints of a gensim model: a callback that writes them while `train` runs, and from which a later call goes on.

They are checkpoint.py's: tables in safetensors, the rest in JSON, two generations, no pickle. A model's vocabulary is
not in them, but by what it is known again: whoever goes on makes it anew, by the same lines as before.
"""

import hashlib
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from gensim.models.callbacks import CallbackAny2Vec

from w2vfast import backends, checkpoint
from w2vfast.checkpoint import Contents, Keeper
from w2vfast.errors import InputError
from w2vfast.files import PathLike
from w2vfast.gensim_bridge import gensims_loop
from w2vfast.gensim_epoch import Place, Training, config_of, output_table, trainable
from w2vfast.kernels.contract import Step, StepResult
from w2vfast.run import RunState


@dataclass(frozen=True)
class _Resumed:
    """Where a call of `train` goes on."""

    place: Place
    trained: StepResult  # in the epoch at hand


class Checkpoints(CallbackAny2Vec):  # type: ignore[misc]
    """Writes a checkpoint of a `Word2Vec` in training every so many seconds, and goes on from the newest.

        model = Word2Vec(sentences, epochs=10, workers=1, callbacks=[Checkpoints("state")])

    The same lines begin a training and, run again after a crash, go on with it: the vocabulary is made anew, then the
    tables are filled, and epochs that were done are passed over (the callbacks are told of them all the same). With one
    worker it ends in the same bits as a training that was never stopped, if the sentences come in the same order.

    `folder` is made if there is none; `every` is in seconds; without `resume` a folder that holds checkpoints is
    refused. Raises InputError, in `train`, for another vocabulary, corpus or other settings than the checkpoint's (more
    epochs are taken), for a damaged folder, one in use, and where gensim's own loop is to train.
    """

    def __init__(self, folder: PathLike, every: float = 600.0, *, resume: bool = True) -> None:
        if not every > 0:
            raise InputError(f"every must be above 0 seconds, not {every}")
        self.folder, self.every, self.resume = str(folder), every, resume
        self._open = ExitStack()
        self._keeper: Keeper | None = None
        self._resumed: _Resumed | None = None
        self._last: tuple[RunState, dict[str, Any]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "every": self.every, "resume": self.resume}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"], state["every"], resume=state["resume"])  # type: ignore[misc]

    def on_train_begin(self, model: Any) -> None:
        """Open the folder; fill the model's tables from its newest checkpoint."""
        why = gensims_loop(model)
        if why is not None:
            raise InputError(f"checkpoints are not for gensim's own loop, which has to train this model: {why}")
        self.close()
        config = config_of(model, int(model.seed or 0))
        config = replace(config, checkpoint=self.folder, checkpoint_every=self.every, resume=self.resume)
        folder = self._open.enter_context(checkpoint.opened(config))
        assert folder is not None
        choice = backends.choose(config)
        settings = asdict(config) | {"device": choice.device, "negative": config.negatives}
        known = _known(model)
        training = model.begin_training()
        found = folder.newest()
        state = RunState()
        if found is not None:
            found.refuse_other_run(config, choice)
            found.refuse_other_corpus(known, {})
            contents = found.read()
            state = contents.state
            self._fill(model, training, contents)
        self._keeper = folder.keeper(config, choice, settings, known, state)
        self._keeper.make_room((model.wv.vectors, output_table(model)))

    def _fill(self, model: Any, training: Training, contents: Contents) -> None:
        state, more = contents.state, contents.more
        assert contents.tables is not None
        model.wv.vectors = trainable(model.wv.vectors)
        for table, saved in zip((model.wv.vectors, output_table(model)), contents.tables, strict=True):
            if table.shape != saved.shape:
                raise InputError(f"a table of the checkpoint is {saved.shape}, the model's is {table.shape}")
            np.copyto(table, saved)
        model.wv.norms = None
        model.draw_epochs, model.loss_per_epoch = more["draw_epochs"], list(state.losses)
        model.running_training_loss = more["running_training_loss"]
        training.seed = more["seed"]
        trained = StepResult(state.epoch_loss, state.epoch_pairs, more["epoch_trained"])
        self._resumed = _Resumed(Place(state.epoch, more["block"], state.place), trained)

    def passed_over(self, epoch: int) -> bool:
        """Return whether an epoch was done before this call of `train`."""
        return self._resumed is not None and epoch < self._resumed.place.epoch

    def beginning(self, epoch: int) -> tuple[Place, StepResult]:
        """Return where in an epoch to begin, and what was trained in it before."""
        if self._resumed is not None and epoch == self._resumed.place.epoch:
            return self._resumed.place, self._resumed.trained
        return Place(epoch, 0, 0), StepResult(0.0, 0, 0)

    def came_to(self, model: Any, step: Step, place: Place, trained: StepResult, seed: int) -> None:
        """Write a checkpoint if one is due at a place between two visits."""
        if self._keeper is not None and self._keeper.due:
            step.tables()  # brings the model's arrays up to date, of which the step may have a part
            tables = model.wv.vectors, output_table(model)
            self._keeper.begin(self._contents(model, tables, place, trained, seed))

    def on_train_end(self, model: Any) -> None:
        """Write where the training ended, and wait for it."""
        if self._keeper is not None:
            seed, tables = model.begin_training().seed, (model.wv.vectors, output_table(model))
            end = self._contents(model, tables, Place(model.epochs, 0, 0), StepResult(0.0, 0, 0), seed)
            self._keeper.end(end, needed=False)
        self.close()

    def close(self) -> None:
        """Leave off what is being written, and give the folder back."""
        self._keeper = self._resumed = None
        self._open.close()

    def _contents(self, model: Any, tables: Any, place: Place, trained: StepResult, seed: int) -> Contents:
        state = RunState(
            epoch=place.epoch,
            place=place.chunks,
            epoch_loss=trained.loss,
            epoch_pairs=trained.pairs,
            losses=[float(loss) for loss in model.loss_per_epoch],
        )
        more = {
            "block": place.block,
            "epoch_trained": trained.trained,
            "draw_epochs": model.draw_epochs,
            "running_training_loss": float(model.running_training_loss),
            "seed": seed,
        }
        return Contents(state, tables, more=more)


def of(callbacks: Any) -> Checkpoints | None:
    """Return the callback that writes checkpoints, None if there is none. Raises InputError for two."""
    found = [callback for callback in callbacks if isinstance(callback, Checkpoints)]
    if len(found) > 1:
        raise InputError("two callbacks write checkpoints: give one of them")
    return found[0] if found else None


def _known(model: Any) -> dict[str, Any]:
    """Return by what a model's vocabulary and corpus are known again."""
    words = hashlib.sha256(repr(list(model.wv.index_to_key)).encode(errors="surrogatepass"))
    words.update(np.asarray(model.wv.expandos["count"], np.int64).tobytes())
    return {
        "vocabulary_size": len(model.wv),
        "words": words.hexdigest(),
        "sentences": int(model.corpus_count),
        "read": int(model.corpus_total_words),
    }
