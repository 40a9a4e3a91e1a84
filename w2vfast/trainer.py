"""Trains vectors from a text, whoever asks: encode, prepare, run and score, with an account of it all.

The command is `train_files` with a file to save to. Every option of the config is obeyed or refused here.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2vfast import backends, jobs, plan, scoring
from w2vfast.config import Config
from w2vfast.corpus import EncodedCorpus, encode_sentences, scan
from w2vfast.errors import InputError
from w2vfast.formats import Vectors, check_writable
from w2vfast.jobs import Work
from w2vfast.kernels.contract import Job
from w2vfast.run import Progress, Run, diverged
from w2vfast.scoring import Evaluate, Scoring, Tables
from w2vfast.stopwatch import Seconds, Stopwatch
from w2vfast.vocab import Vocab, read_vocab, save_vocab


@dataclass
class TrainResult:
    """Vectors and the account of how they came about."""

    vocab: Vocab
    w_in: NDArray[np.float32]  # [V, D], the word vectors
    w_out: NDArray[np.float32]  # [out_rows, D]; with negative sampling a row a word, gensim's syn1neg
    settings: dict[str, Any]
    backend: str
    backend_reason: str
    tokens: dict[str, int]
    pairs: int = 0  # pairs of words (skip-gram) or windows (CBOW) in all that was visited
    epochs_visited: float = 0.0  # tokens visited / tokens of the corpus: less than epochs where patience ended
    loss_per_epoch: list[float] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)  # epoch (as a fraction) and score of each evaluation
    seconds: dict[str, float] = field(default_factory=dict)  # scan, setup, train, evaluate
    cpu_seconds: dict[str, float] = field(default_factory=dict)  # scan, setup, train: of all threads

    @property
    def vectors(self) -> Vectors:
        """The words with their vectors and counts."""
        return Vectors(self.vocab.words, self.w_in, self.vocab.counts)

    @property
    def raw_words_per_second(self) -> float:
        """Words visited per second of training, out-of-vocabulary words and all epochs counted."""
        return self.tokens["read"] * self.epochs_visited / self.seconds["train"]


@dataclass(frozen=True)
class _Request:
    """What is asked for, as far as it is settled before a text is read: what cannot be had is refused at once."""

    config: Config
    choice: backends.Choice
    evaluate: Evaluate | None
    tables: Tables | None
    on_start: Callable[[TrainResult], None] | None
    on_progress: Callable[[Progress], None] | None


def train_files(
    inputs: Sequence[str | Path],
    config: Config,
    *,
    cache_dir: Path | None = None,
    tables: Tables | None = None,
    evaluate: Evaluate | None = None,
    on_scan: Callable[[int, int | None], None] | None = None,
    on_start: Callable[[TrainResult], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train on text files (or folders, or "-" for standard input) and return the vectors with their account.

    `cache_dir` is where an encoded corpus goes that is too large for memory, if the config does not say. `tables` are
    W_in and W_out to start from, float32 [V, D], which are trained in place; they are made if not given. `evaluate`
    scores vectors (higher is better) in place of the config's `eval_set`. `on_scan` hears of bytes done and in all;
    `on_start` gets the result, still without vectors of any use, when all settings are known; `on_progress` hears about
    eight times a second. Raises InputError for what cannot be trained on or honoured, and DivergenceError.
    """
    request = _settle(config, None, evaluate, tables, on_start, on_progress)
    watch = Stopwatch()
    with scan_files(inputs, config, cache_dir=cache_dir, on_scan=on_scan) as corpus:
        return _train(corpus, request, scanned=watch.read())


def train_sentences(
    sentences: Iterable[Iterable[str]],
    config: Config,
    *,
    cache_dir: Path | None = None,
    tables: Tables | None = None,
    evaluate: Evaluate | None = None,
    on_start: Callable[[TrainResult], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train on lists of words, which are iterated over once; all else is as in `train_files`."""
    request = _settle(config, None, evaluate, tables, on_start, on_progress)
    watch = Stopwatch()
    with encode_sentences(sentences, **_scan_options(config, cache_dir)) as corpus:
        return _train(corpus, request, scanned=watch.read())


def scan_files(
    inputs: Sequence[str | Path],
    config: Config,
    *,
    cache_dir: Path | None = None,
    on_scan: Callable[[int, int | None], None] | None = None,
) -> EncodedCorpus:
    """Encode text files with a config's options of that, for several calls of `train_corpus`."""
    return scan(inputs, **_scan_options(config, cache_dir), workers=config.workers, progress=on_scan)


def train_corpus(
    corpus: EncodedCorpus,
    config: Config,
    choice: backends.Choice | None = None,
    *,
    work: Work | None = None,
    tables: Tables | None = None,
    evaluate: Evaluate | None = None,
    on_start: Callable[[TrainResult], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train on what is encoded already, as experiments do; all else is as in `train_files`.

    How the corpus was encoded is done: the config's options of that (min_count, max_vocab_size, max_final_vocab,
    read_vocab, cache_dir, cache_above) only stand in the account. `choice` stands in for what `backends.choose` would
    return, `work` for what `jobs.prepare` would.
    """
    return _train(corpus, _settle(config, choice, evaluate, tables, on_start, on_progress), work=work)


def _settle(
    config: Config,
    choice: backends.Choice | None,
    evaluate: Evaluate | None,
    tables: Tables | None,
    on_start: Callable[[TrainResult], None] | None,
    on_progress: Callable[[Progress], None] | None,
) -> _Request:
    if config.save_vocab is not None:
        check_writable(config.save_vocab, "text")
    if choice is None:
        choice = backends.choose(config)
    else:
        backends.require_objective(choice, config.objective)
    return _Request(config, choice, scoring.evaluator(config, evaluate), tables, on_start, on_progress)


def _scan_options(config: Config, cache_dir: Path | None) -> dict[str, Any]:
    """Return a config's options of `scan` and `encode_sentences`."""
    return {
        "min_count": config.min_count,
        "max_vocab_size": config.max_vocab_size,
        "max_final_vocab": config.max_final_vocab,
        "vocab": read_vocab(config.read_vocab) if config.read_vocab is not None else None,
        "cache_dir": Path(config.cache_dir) if config.cache_dir is not None else cache_dir,
        "memory_limit": config.cache_above,
    }


def _train(
    corpus: EncodedCorpus, request: _Request, *, work: Work | None = None, scanned: Seconds | None = None
) -> TrainResult:
    watch, config, choice = Stopwatch(), request.config, request.choice
    if config.save_vocab is not None:
        save_vocab(corpus.vocab, config.save_vocab)
    work = work or jobs.prepare(corpus, config, choice)
    w_in, w_out = _tables(work.job, config, request.tables)
    step = backends.create_step(choice, work.job, w_in, w_out, config.workers)
    result = TrainResult(
        vocab=corpus.vocab,
        w_in=w_in,
        w_out=w_out,
        settings=_resolved_settings(config, work, choice),
        backend=choice.name,
        backend_reason=choice.reason,
        tokens=asdict(corpus.ledger),
    )
    run, scores = Run(work, step, config), Scoring(config, request.evaluate, corpus.vocab)
    # A backend that compiles at its first launch does so within the training.
    setup = watch.read()
    if request.on_start is not None:
        request.on_start(result)
    watch = Stopwatch()
    while not (run.finished or scores.out_of_patience(run.state)):
        progress = run.advance(scores.next_place(run))
        if request.on_progress is not None:
            request.on_progress(progress)
        scores.follow(run, progress)
    step.tables()  # brings w_in and w_out up to date
    scores.restore_best(w_in, w_out)
    if not (np.isfinite(w_in).all() and np.isfinite(w_out).all()):
        raise diverged(work, config)
    stages = {
        "scan": scanned or Seconds(),
        "setup": setup,
        "train": watch.read() - scores.seconds,
        "evaluate": scores.seconds,
    }
    _account(result, run, len(corpus.tokens), stages)
    return result


def _tables(job: Job, config: Config, given: Tables | None) -> Tables:
    """Return the tables to train: those given, or new ones."""
    V, D = job.vocabulary, config.vector_size
    shapes = {"w_in": (V, D), "w_out": (job.objective.out_rows(V), D)}
    if given is None:
        # W_out's memory is untouched, for the workers to touch together.
        return plan.initial_vectors(V, D, config.seed), np.zeros(shapes["w_out"], np.float32)
    for (name, shape), table in zip(shapes.items(), given, strict=True):
        if table.shape != shape or table.dtype != np.float32:
            raise InputError(
                f"the table {name} is {table.dtype} {list(table.shape)}, this run's is float32 {list(shape)}"
            )
        if not (table.flags.c_contiguous and table.flags.writeable):
            raise InputError(f"the table {name} is trained in place: it must be C-contiguous and writable")
    if np.shares_memory(*given):
        raise InputError("the tables w_in and w_out must not overlap")
    return given


def _account(result: TrainResult, run: Run, tokens: int, stages: dict[str, Seconds]) -> None:
    state = run.state
    result.pairs, result.epochs_visited = state.pairs, state.visited / tokens
    result.loss_per_epoch, result.scores = state.loss_per_epoch, state.scores
    result.tokens |= {"trained": state.trained, "subsampled": state.visited - state.trained}
    result.seconds = {name: stage.wall for name, stage in stages.items()}
    result.cpu_seconds = {name: stage.cpu for name, stage in stages.items() if name != "evaluate"}


def _resolved_settings(config: Config, work: Work, choice: backends.Choice) -> dict[str, Any]:
    """Return every setting of a run, what was chosen for the user included."""
    job = work.job
    chosen = {
        "device": choice.device,
        "negative": config.negatives,
        "tile": job.tile,
        "shared_negatives": work.shared_words,
        "tokens_in_flight": job.tokens_in_flight,
        "row_cap": job.row_cap,
        "static_cap": job.in_weight is not None,
        "chunk_size": job.chunk_size,
    }
    return asdict(config) | chosen
