"""gensim's Word2Vec with the training of this package: change one import, and keep everything else.

The class is gensim's but for an epoch of training, the scan of text files and the first vectors. `train` itself, with
its checks, callbacks and log, stays gensim's, and so do vocabulary, saving and every query.
It is past 600 lines since gensim's signature, with what each argument means here, is one piece.
"""

import copy
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from queue import Queue
from timeit import default_timer
from typing import Any

import gensim.models.word2vec as gensim_word2vec
import numpy as np

from w2vfast import encoder, gensim_checkpoints, gensim_corpus, inputs, memory, plan
from w2vfast.blocks import read_ahead
from w2vfast.config import Config
from w2vfast.errors import TooFewWordsError
from w2vfast.gensim_bridge import (
    AfterGensim,
    Crossing,
    Gensim,
    Relay,
    first_checked,
    gensims_loop,
    unknown_arguments,
    warned_of_letters,
    why_empty,
)
from w2vfast.gensim_checkpoints import Checkpoints
from w2vfast.gensim_epoch import EXTRAS, Place, Training, objective_of, output_table, output_tables
from w2vfast.gensim_vectors import mended, plain, refuse_infinite
from w2vfast.kernels.contract import Step, StepResult
from w2vfast.memory import trim
from w2vfast.tokens import Ids

__all__ = ["Word2Vec"]

_logger = gensim_word2vec.logger
_crossing = Crossing()
_REPORT_SECONDS = 1.0  # between two lines of progress, as in gensim
# Sentences of more known tokens than this are encoded a block at a time, beside the training on the block before.
STREAM_TOKENS = 1 << 21


class _Call:
    """What the model holds while its constructor or `train` runs, and no longer."""

    def __init__(self) -> None:
        self.scanned: gensim_corpus.ScannedFile | None = None
        # A file's path, the dictionary that it was encoded with and its length then, and what it holds.
        self.file: tuple[str, Mapping[Any, int], int, gensim_corpus.FileTokens] | None = None
        self.training: Training | None = None
        self.whole = True  # whether `train` goes on to the learning rate at which the model ends
        self.checkpoints: Checkpoints | None = None
        self.warned = False


class Reading:
    """An epoch's tokens, block by block, `expected` of them in all; counts raw words and sentences as they are read."""

    def __init__(self, blocks: Iterable[tuple[Ids, int, int]], expected: int) -> None:
        self._blocks, self.expected = blocks, expected
        self.raw_words = self.sentences = 0

    def __iter__(self) -> Iterator[Ids]:
        for tokens, raw_words, sentences in self._blocks:
            self.raw_words += raw_words
            self.sentences += sentences
            yield tokens


class Word2Vec(AfterGensim):
    """gensim.models.Word2Vec, trained in dense tiles: same arguments, same attributes, many times the speed.

    The arguments of gensim's class mean what they mean there. Besides, by keyword only: `backend` ("auto", "triton",
    "native", "torch"), `device`, `preset` ("quality", "fast"), `objective`, `log_z`, `tile`, `shared_negatives`,
    `early_negatives`, `precision`, `tokens_in_flight`, `cap`, `cache_dir`, `cache_above`, `force` and `deterministic`:
    the options of `w2vfast.Config` of these names.
    `loss_per_epoch` is the mean loss of a pair in each epoch since the vectors were made.

    `objective` is "negative-sampling", "nce", "sampled-softmax" or "softmax", whose output table is `syn1neg`;
    hierarchical softmax is hs=1, its table `syn1`, with `negative` above 0 both at once. The others' tables and options
    have no place in gensim's class: the command and `w2vfast.trainer` train them. `negative` is not given with the two
    softmaxes, and hs=1 not with an objective.

    gensim's own loop runs, and a warning says so, in subclasses that override hooks of it.
    """

    # For models that gensim made, or an older version of this class.
    backend, device, preset = Config.backend, Config.device, Config.preset
    objective, log_z, cap = Config.objective, Config.log_z, Config.cap
    tile, shared_negatives, early_negatives = Config.tile, Config.shared_negatives, Config.early_negatives
    precision, tokens_in_flight = Config.precision, Config.tokens_in_flight
    cache_dir, cache_above, force = Config.cache_dir, Config.cache_above, Config.force
    deterministic = Config.deterministic
    draw_epochs = 0  # epochs that random numbers were drawn for since the vectors were made: no two draw the same
    loss_per_epoch: tuple[float, ...] | list[float] = ()
    _call: _Call | None = None
    _no_words = ""  # why the vocabulary is empty, if it is

    def __init__(
        self,
        sentences: Iterable[Iterable[Any]] | None = None,
        corpus_file: str | os.PathLike[str] | None = None,
        vector_size: int = 100,
        alpha: float = 0.025,
        window: int = 5,
        min_count: int = 5,
        max_vocab_size: int | None = None,
        sample: float = 1e-3,
        seed: int | None = 1,
        workers: int = 3,
        min_alpha: float = 0.0001,
        sg: int = 0,
        hs: int = 0,
        negative: int = 5,
        ns_exponent: float = 0.75,
        cbow_mean: int = 1,
        hashfxn: Callable[[Any], int] = hash,
        epochs: int = 5,
        null_word: int = 0,
        trim_rule: Callable[[Any, int, int], int] | None = None,
        sorted_vocab: int = 1,
        batch_words: int = gensim_word2vec.MAX_WORDS_IN_BATCH,
        compute_loss: bool = False,
        callbacks: Iterable[Any] = (),
        comment: str | None = None,
        max_final_vocab: int | None = None,
        shrink_windows: bool = True,
        *,
        backend: str = Config.backend,
        device: str | None = Config.device,
        preset: str = Config.preset,
        objective: str = Config.objective,
        log_z: float = Config.log_z,
        tile: int | None = Config.tile,
        shared_negatives: int | None = Config.shared_negatives,
        early_negatives: int | None = Config.early_negatives,
        precision: str = Config.precision,
        tokens_in_flight: int | None = Config.tokens_in_flight,
        cap: float = Config.cap,
        cache_dir: str | None = Config.cache_dir,
        cache_above: int = Config.cache_above,
        force: bool = Config.force,
        deterministic: bool = Config.deterministic,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise TypeError(unknown_arguments(unknown))
        own = {name: value for name, value in locals().items() if name in EXTRAS}
        # Raises InputError for a value that none of them may have.
        Config(**own | {"objective": objective_of(objective, hs, negative)})
        for name, value in own.items():
            setattr(self, name, value)
        self._call = _Call()
        try:
            super().__init__(
                sentences=sentences,
                corpus_file=corpus_file,
                vector_size=vector_size,
                alpha=alpha,
                window=window,
                min_count=min_count,
                max_vocab_size=max_vocab_size,
                sample=sample,
                seed=seed,
                workers=workers,
                min_alpha=min_alpha,
                sg=sg,
                hs=hs,
                negative=negative,
                ns_exponent=ns_exponent,
                cbow_mean=cbow_mean,
                hashfxn=hashfxn,
                epochs=epochs,
                null_word=null_word,
                trim_rule=trim_rule,
                sorted_vocab=sorted_vocab,
                batch_words=batch_words,
                compute_loss=compute_loss,
                callbacks=callbacks,
                comment=comment,
                max_final_vocab=max_final_vocab,
                shrink_windows=shrink_windows,
            )
        finally:
            self._call = None

    # wv: gensim's KeyedVectors, mended when it is first looked at after it was assigned or loaded.

    @property
    def wv(self) -> Any:
        """The word vectors, a gensim KeyedVectors."""
        try:
            return mended(self.__dict__["wv"])
        except KeyError:
            raise AttributeError("wv") from None

    @wv.setter
    def wv(self, vectors: Any) -> None:
        self.__dict__["wv"] = vectors

    @wv.deleter
    def wv(self) -> None:
        del self.__dict__["wv"]

    # The vocabulary and the first vectors.

    def scan_vocab(
        self,
        corpus_iterable: Iterable[Iterable[Any]] | None = None,
        corpus_file: str | os.PathLike[str] | None = None,
        progress_per: int = 10000,
        workers: int | None = None,
        trim_rule: Callable[[Any, int, int], int] | None = None,
    ) -> tuple[int, int]:
        """Count the words of a corpus; return how many words and sentences it has."""
        # What gensim prunes while it counts depends on its own order of doing so.
        if corpus_file and trim_rule is None and not self.max_vocab_size and os.path.getsize(corpus_file):
            try:
                return self._scan_file(os.fspath(corpus_file), workers or max(1, self.workers))
            except TooFewWordsError:
                pass  # gensim's scan makes the vocabulary of one word, or of none
        elif corpus_iterable is not None:
            corpus_iterable = first_checked(corpus_iterable)
            own_scan = type(self)._scan_vocab is not Gensim._scan_vocab
            if trim_rule is None and not self.max_vocab_size and not own_scan:
                return self._scan_sentences(corpus_iterable)
        if corpus_file and os.path.isfile(corpus_file) and os.path.getsize(corpus_file) and not self.force:
            inputs.refuse_no_texts([Path(corpus_file)])
        counted: tuple[int, int] = super().scan_vocab(corpus_iterable, corpus_file, progress_per, workers, trim_rule)
        return counted

    def _scan_file(self, path: str, workers: int) -> tuple[int, int]:
        _logger.info("collecting all words and their counts")
        scanned = gensim_corpus.ScannedFile(path, workers, self.cache_dir, self.cache_above, self.force)
        self.raw_vocab = scanned.raw_vocab()
        if self._call is not None:
            self._call.scanned = scanned
        return self._collected(scanned.raw_words, scanned.sentences)

    def _scan_sentences(self, sentences: Iterable[Iterable[Any]]) -> tuple[int, int]:
        _logger.info("collecting all words and their counts")
        counts, raw_words, examples = encoder.count(warned_of_letters(sentences, _logger))
        self.raw_vocab = defaultdict(int, counts)
        return self._collected(raw_words, examples)

    def _collected(self, raw_words: int, examples: int) -> tuple[int, int]:
        _logger.info(
            "collected %i word types from a corpus of %i raw words and %i sentences",
            len(self.raw_vocab),
            raw_words,
            examples,
        )
        return raw_words, examples

    def prepare_vocab(self, *args: Any, **kwargs: Any) -> Any:
        """Apply min_count, sample and the other settings of the vocabulary to the words counted."""
        raw: Mapping[Any, int] = self.raw_vocab
        report = super().prepare_vocab(*args, **kwargs)
        if not self.wv.key_to_index:
            self._no_words = why_empty(raw, self.effective_min_count, self.max_final_vocab)
        del raw
        if self._call is not None and self._call.scanned is not None:
            self._call.scanned.settle(self.wv.key_to_index)
        trim()
        return report

    def make_cum_table(self, domain: int = 2**31 - 1) -> None:
        """Make gensim's table of the noise distribution: its loop draws from it, ours does not."""
        if gensims_loop(self) is not None or not len(self.wv):
            super().make_cum_table(domain)
            return
        # The same numbers (up to the last bit of a power) without a step of Python for each word.
        powers = np.cumsum(np.asarray(self.wv.expandos["count"], np.float64) ** float(self.ns_exponent))
        self.cum_table = np.round(powers / powers[-1] * domain).astype(np.uint32)

    def init_weights(self) -> None:
        """Reset the tables: vectors drawn from the seed as the command draws them, and zeros."""
        self._refuse_lack_of_memory()
        if not len(self.wv.vectors) and self.seed is not None and gensims_loop(self) is None:
            self.wv.vectors = plan.initial_vectors(len(self.wv), self.wv.vector_size, int(self.seed))
        super().init_weights()
        if self.hs and self.negative > 0 and len(self.wv):
            output_table(self)  # joined now, so that who takes hold of syn1 and syn1neg sees them trained
        self.draw_epochs, self.loss_per_epoch = 0, []

    def _refuse_lack_of_memory(self) -> None:
        """Raise InputError if the tables to be made cannot fit in memory."""
        V, D = len(self.wv), int(self.wv.vector_size)
        memory.require(
            {
                "for the vectors": 0 if len(self.wv.vectors) else 4 * V * D,
                "for the output table": 4 * V * D * (bool(self.hs) + (self.negative > 0)),
            },
            f"lower vector_size ({D}), have fewer words than {V:,} (a larger min_count, or max_final_vocab), or "
            "give it more memory",
        )

    def reset_from(self, other_model: Any) -> None:
        """Take over another model's vocabulary and reset the tables."""
        super().reset_from(other_model)
        # gensim's new KeyedVectors lacks what its training needs.
        self.wv.vectors_lockf = np.ones(1, np.float32)

    # Training.

    def train(
        self,
        corpus_iterable: Iterable[Iterable[Any]] | None = None,
        corpus_file: str | os.PathLike[str] | None = None,
        total_examples: int | None = None,
        total_words: int | None = None,
        epochs: int | None = None,
        start_alpha: float | None = None,
        end_alpha: float | None = None,
        word_count: int = 0,
        queue_factor: int = 2,
        report_delay: float = 1.0,
        compute_loss: bool = False,
        callbacks: Iterable[Any] = (),
        **kwargs: Any,
    ) -> tuple[int, int]:
        """Train on a corpus as gensim's `train`; returns the words trained on and the words read.

        Besides gensim's errors raises ValueError for workers or window below 1, and what the corpus's iterator raises.
        """
        self._call = call = self._call or _Call()
        call.checkpoints = gensim_checkpoints.of(callbacks)
        call.whole = not end_alpha or end_alpha == self.min_alpha
        try:
            trained: tuple[int, int] = super().train(
                corpus_iterable=corpus_iterable,
                corpus_file=corpus_file,
                total_examples=total_examples,
                total_words=total_words,
                epochs=epochs,
                start_alpha=start_alpha,
                end_alpha=end_alpha,
                word_count=word_count,
                queue_factor=queue_factor,
                report_delay=report_delay,
                compute_loss=compute_loss,
                callbacks=callbacks,
                **kwargs,
            )
        finally:
            self._call = None
            if call.checkpoints is not None:
                call.checkpoints.close()
        return trained

    def begin_training(self) -> Training:
        """Return what this call of `train` keeps from epoch to epoch; for callbacks that write checkpoints."""
        self._call = call = self._call or _Call()
        call.training = call.training or Training(self, call.whole)
        return call.training

    def _is_passed_over(self, epoch: int) -> bool:
        """Return whether an epoch was done before this call of `train`."""
        checkpoints = self._call.checkpoints if self._call is not None else None
        return checkpoints is not None and checkpoints.passed_over(epoch)

    def _train_epoch(
        self,
        data_iterable: Iterable[Iterable[Any]],
        cur_epoch: int = 0,
        total_examples: int | None = None,
        total_words: int | None = None,
        queue_factor: int = 2,
        report_delay: float = 1.0,
        callbacks: Iterable[Any] = (),
        **kwargs: Any,
    ) -> tuple[int, int, int]:
        if self._warn_of_gensims_loop():
            relay = Relay(data_iterable)
            done: tuple[int, int, int] = super()._train_epoch(
                relay,
                cur_epoch=cur_epoch,
                total_examples=total_examples,
                total_words=total_words,
                queue_factor=queue_factor,
                report_delay=report_delay,
                callbacks=callbacks,
                **kwargs,
            )
            relay.raise_what_it_met()
            return done
        if self._is_passed_over(cur_epoch):
            return 0, 0, 0
        began = default_timer()
        sentences, index = first_checked(data_iterable), self.wv.key_to_index
        expected = self._expected_tokens(total_examples, total_words)
        if expected > STREAM_TOKENS:
            ahead = read_ahead(encoder.blocks(sentences, index, STREAM_TOKENS), 1)
            with closing(ahead):
                return self._train_tokens(
                    Reading(ahead, expected), began, cur_epoch, total_examples, total_words, report_delay, False
                )
        folder = None if self.cache_dir is None else Path(self.cache_dir)
        read = encoder.encode(sentences, index, memory_limit=self.cache_above, cache_dir=folder)
        if not read[2] and self.train_count == 0:
            _logger.warning(
                "EPOCH %i: train() called with an empty iterator (if not intended, be sure to provide a corpus that "
                "offers restartable iteration = an iterable).",
                cur_epoch,
            )
        return self._train_tokens(
            Reading([read], len(read[0])), began, cur_epoch, total_examples, total_words, report_delay, False
        )

    def _expected_tokens(self, total_examples: int | None, total_words: int | None) -> int:
        """Return how many words of the vocabulary an epoch is said to have, 0 where nothing tells."""
        if not self.corpus_total_words or not self.corpus_count:
            return 0
        words = total_words or (total_examples or 0) * self.corpus_total_words / self.corpus_count
        known = float(np.sum(self.wv.expandos["count"], dtype=np.float64))
        return int(words * min(1.0, known / self.corpus_total_words))

    def _train_epoch_corpusfile(
        self,
        corpus_file: str | os.PathLike[str],
        cur_epoch: int = 0,
        total_examples: int | None = None,
        total_words: int | None = None,
        callbacks: Iterable[Any] = (),
        **kwargs: Any,
    ) -> tuple[int, int, int]:
        if self._warn_of_gensims_loop():
            done: tuple[int, int, int] = super()._train_epoch_corpusfile(
                corpus_file,
                cur_epoch=cur_epoch,
                total_examples=total_examples,
                total_words=total_words,
                callbacks=callbacks,
                **kwargs,
            )
            return done
        if not total_words:
            raise ValueError("total_words must be provided alongside corpus_file argument.")
        if self._is_passed_over(cur_epoch):
            return 0, 0, 0
        began = default_timer()
        read = self._file_tokens(os.fspath(corpus_file))
        delay = kwargs.get("report_delay", _REPORT_SECONDS)
        reading = Reading([(read.tokens, read.raw_words, read.sentences)], len(read.tokens))
        return self._train_tokens(reading, began, cur_epoch, total_examples, total_words, delay, True)

    def _file_tokens(self, path: str) -> gensim_corpus.FileTokens:
        """Return a file's words as indices: from the constructor's scan, from an epoch before, or read now."""
        self._call = call = self._call or _Call()
        scanned, call.scanned = call.scanned, None
        words = self.wv.key_to_index
        # A callback may change the vocabulary: an update adds to the dictionary, anything else makes a new one.
        held = call.file is not None and call.file[0] == path and call.file[1] is words and call.file[2] == len(words)
        if call.file is None or not held:
            if scanned is not None and scanned.fits(path, words):
                read = scanned.take()
            else:
                read = gensim_corpus.read_file(path, words, self.workers, self.cache_dir, self.cache_above, self.force)
            call.file = path, words, len(words), read
        return call.file[3]

    def _train_tokens(
        self,
        read: "Reading",
        began: float,
        cur_epoch: int,
        total_examples: int | None,
        total_words: int | None,
        report_delay: float,
        is_corpus_file_mode: bool,
    ) -> tuple[int, int, int]:
        """Train for an epoch on what was read; returns words trained, words read and jobs, as gensim counts them."""
        training, checkpoints = self.begin_training(), None if self._call is None else self._call.checkpoints
        queue: Queue[Any] = Queue()  # its size is part of gensim's line of progress
        jobs, trained, next_report = 0, 0, report_delay

        def on_progress(done: StepResult, share: float) -> None:
            nonlocal jobs, trained, next_report
            jobs, trained = jobs + 1, trained + done.trained
            if self.compute_loss:
                self.running_training_loss += done.loss
            elapsed = default_timer() - began
            if elapsed >= next_report and share < 1:
                examples, words = int(share * (total_examples or 0)), int(share * (total_words or 0))
                self._log_progress(
                    None, queue, cur_epoch, examples, total_examples, words, total_words, trained, elapsed
                )
                next_report = elapsed + report_delay

        def on_place(step: Step, place: Place, done: StepResult) -> None:
            if checkpoints is not None:
                checkpoints.came_to(self, step, place, done, training.seed)

        begin = None if checkpoints is None else checkpoints.beginning(cur_epoch)
        whole = training.epoch(read, max(read.expected, 1), cur_epoch, on_progress, begin, on_place)
        if whole.trained:
            self.loss_per_epoch = [*self.loss_per_epoch, whole.loss / max(whole.pairs, 1)]
        start, end = float(self.alpha), float(self.min_alpha)
        self.min_alpha_yet_reached = max(end, start - (start - end) * (cur_epoch + 1) / self.epochs)
        elapsed = max(default_timer() - began, 1e-5)
        self._log_epoch_end(
            cur_epoch,
            read.sentences,
            total_examples,
            read.raw_words,
            total_words,
            trained,
            elapsed,
            is_corpus_file_mode,
        )
        self.total_train_time += elapsed
        return trained, read.raw_words, jobs

    def _warn_of_gensims_loop(self) -> bool:
        """Return whether gensim's own loop is to run; the first time in a call, warn."""
        why = gensims_loop(self)
        if why is None:
            return False
        if not self.hs and self.objective != Config.objective:
            raise ValueError(f"gensim's own loop has no objective {self.objective}, and has to train this model: {why}")
        if self.deterministic:
            raise ValueError(f"gensim's own loop is not deterministic, and has to train this model: {why}")
        self._call = call = self._call or _Call()
        if not call.warned:
            warnings.warn(f"gensim's own loop trains this model, slowly: {why}", RuntimeWarning, stacklevel=4)
            call.warned = True
        return True

    # Queries.

    def predict_output_word(self, context_words_list: list[Any], topn: int = 10) -> Any:
        """Return the likeliest words given the words around them, by `syn1neg`, as gensim does.

        The softmaxes' probabilities are as trained; negative sampling's lack the correction that `w2vfast.load_model`
        makes. Raises RuntimeError for a model whose output table is the tree's.
        """
        if self.hs and not self.negative:
            raise RuntimeError(
                "predict_output_word goes by syn1neg, and hs=1, negative=0 trains the tree's syn1: train with "
                "python -m w2vfast.train --objective hierarchical-softmax --save-model FILE, and ask "
                "w2vfast.load_model(FILE).predict"
            )
        return super().predict_output_word(context_words_list, topn)

    # Bad input.

    def _check_corpus_sanity(
        self, corpus_iterable: Any = None, corpus_file: str | os.PathLike[str] | None = None, passes: int = 1
    ) -> None:
        if isinstance(corpus_iterable, str | bytes):
            raise TypeError(
                f"sentences must be lists of words, not the {type(corpus_iterable).__name__} {corpus_iterable!r:.60}, "
                "whose letters would be taken for sentences: for a text file give corpus_file=, else a list of lists"
            )
        packed = corpus_file is not None and os.fspath(corpus_file).lower().endswith(inputs.PACKED_SUFFIXES)
        if packed and corpus_iterable is None and os.path.isfile(corpus_file or "") and gensims_loop(self) is None:
            return  # gensim's own reader of files cannot unpack them
        super()._check_corpus_sanity(corpus_iterable=corpus_iterable, corpus_file=corpus_file, passes=passes)

    def _check_training_sanity(
        self, epochs: int = 0, total_examples: int | None = None, total_words: int | None = None, **kwargs: Any
    ) -> None:
        if self.workers < 1:
            raise ValueError(
                f"workers must be at least 1, not {self.workers}: no thread would train; give the number of threads "
                f"(this machine has {os.cpu_count()} processors)"
            )
        if self.window < 1:
            raise ValueError(f"window must be at least 1, not {self.window}: no word would have a neighbour")
        if not self.wv.key_to_index and self._no_words:
            raise RuntimeError(f"you must first build vocabulary before training the model: {self._no_words}")
        super()._check_training_sanity(epochs=epochs, total_examples=total_examples, total_words=total_words, **kwargs)

    # Saving, loading, and plain gensim.

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the model; gensim's `load` and ours read it. Raises InputError for tables with NaN or infinity."""
        refuse_infinite(self.wv.vectors, *(getattr(self, name) for name in output_tables(self) if hasattr(self, name)))
        super().save(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_call"}

    def _save_specials(self, *args: Any, **kwargs: Any) -> Any:
        return _crossing.call("_save_specials", self, *args, **kwargs)

    def _load_specials(self, *args: Any, **kwargs: Any) -> None:
        _crossing.call("_load_specials", self, *args, **kwargs)

    @classmethod
    def load(cls, *args: Any, **kwargs: Any) -> Any:
        """Load a saved model, gensim's too, which becomes one of this class and trains on as such."""
        model = _crossing.call("load", cls, *args, **kwargs)
        if type(model) is Gensim:
            model.__class__ = Word2Vec
        return model

    def to_gensim(self) -> Any:
        """Return the model as plain gensim's class: it trains on there, and its file needs no w2vfast.

        The vectors and the output table are shared, not copied: train one of the two. The vocabulary is the new model's
        own.
        """
        model = Gensim.__new__(Gensim)
        own = {*EXTRAS, "draw_epochs", "loss_per_epoch", "_no_words", "_call"}
        model.__dict__.update({name: value for name, value in self.__dict__.items() if name not in own})
        model.wv = plain(self.wv)
        model.random, model.lifecycle_events = copy.deepcopy(self.random), list(self.lifecycle_events or ())
        return model
