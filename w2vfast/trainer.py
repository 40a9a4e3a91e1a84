"""Trains vectors from a text, whoever asks: encode, prepare, run and score, with an account of it all.

The command is `train_files` with a file to save to. Every option of the config is obeyed or refused here.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from w2vfast import (
    __version__,
    backends,
    checkpoint,
    classes,
    exchange,
    jobs,
    memory,
    model_file,
    plan,
    room,
    scoring,
    targets,
    teachers,
)
from w2vfast.compress import of_bits, of_rows
from w2vfast.compressed import CompressedVectors
from w2vfast.config import Config, usable_processors
from w2vfast.corpus import EncodedCorpus, encode_sentences, scan
from w2vfast.dimension import Dimensions
from w2vfast.errors import InputError, Stopped
from w2vfast.files import PathLike
from w2vfast.formats import Vectors, VectorStream, check_writable
from w2vfast.jobs import Work
from w2vfast.kept_scan import refuse_other_texts, scan_kept
from w2vfast.kernels.contract import FixedOut, Job, Objective
from w2vfast.ranks import Ranks
from w2vfast.run import Progress, Run, Tables
from w2vfast.scoring import Evaluate, Scoring
from w2vfast.shared_scan import gather_ids
from w2vfast.stopwatch import Seconds, Stopwatch
from w2vfast.tokens import TokenStore
from w2vfast.vectors import BLOCK_ROWS
from w2vfast.vocab import Vocab, read_vocab, save_vocab

BLOCK_VALUES = 1 << 19  # that rank 0 gathers at a time: a writer holds them some times over


@dataclass
class TrainResult:
    """Vectors and the account of how they came about; with `dimensions` the tables are this rank's D / R of them."""

    vocab: Vocab
    w_in: NDArray[np.float32]  # [V, D], the word vectors; with `bits` only their levels, with `buckets` [B, D]
    w_out: NDArray[np.float32]  # [out_rows, D]; with negative sampling a row a word, gensim's syn1neg
    objective: Objective  # what was trained, with the arrays that prediction needs
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
    in_row: NDArray[np.int32] | None = None  # [V] which row of w_in is a word's, where words share rows
    scan_kept: str | None = None  # the file where the scan is kept
    resumed_from: str | None = None  # the checkpoint
    resumed_at: float = 0.0  # epochs that were done there
    ranks: dict[str, float] | None = None  # where several train: how many, and what their exchanges come to
    dimensions: Dimensions | None = None  # which this rank has, where ranks have some each

    @property
    def vectors(self) -> Vectors:
        """The words with their vectors and counts. Raises InputError where ranks have some dimensions each."""
        if self.dimensions is not None:
            raise InputError("each rank has some dimensions of the vectors: take `streams`, or save them to a file")
        w_in = self.w_in if self.in_row is None else self.w_in[self.in_row]
        return Vectors(self.vocab.words, w_in, self.vocab.counts)

    @contextmanager
    def streams(self) -> Iterator[Callable[[], VectorStream] | None]:
        """Yield on rank 0 what returns a stream of all vectors, where ranks have some dimensions each.

        All ranks call this; the others yield None, when they have sent all that rank 0 read.
        """
        assert self.dimensions is not None
        words, size = self.vocab.words, self.dimensions.vector_size
        with self.dimensions.gathered(self.w_in) as rows:
            if rows is None:
                yield None
                return

            def stream() -> VectorStream:
                step = max(1, min(BLOCK_ROWS, BLOCK_VALUES // size))
                spans = [(start, min(start + step, len(words))) for start in range(0, len(words), step)]
                blocks = ((words[start:stop], rows(start, stop)) for start, stop in spans)
                return VectorStream(len(words), size, blocks, self.vocab.counts)

            yield stream

    @property
    def compressed(self) -> CompressedVectors | None:
        """The same in the bits, or the shared rows, that they were trained for; None for vectors of float32."""
        bits = self.settings["bits"]
        if self.in_row is not None:
            return of_rows(self.vocab.words, self.vocab.counts, self.w_in, self.in_row)
        return of_bits(self.vectors, bits) if bits is not None else None

    def save_model(self, path: PathLike) -> None:
        """Save all that prediction needs to a .safetensors file, which `w2vfast.load_model` and all that reads vectors
        can read; written whole or not at all. Raises InputError if it cannot be written.
        """
        parts = (self.vocab.words, self.vocab.counts, self.vectors.vectors, self.w_out, self.objective, self.settings)
        model_file.save(model_file.Contents(*parts), path)

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
    scores_all: bool  # `evaluate` was given, and may look at all vectors
    tables: Tables | None
    on_start: Callable[[TrainResult], None] | None
    on_progress: Callable[[Progress], None] | None
    stop: Callable[[], bool] | None
    folder: checkpoint.Folder | None
    found: checkpoint.Checkpoint | None
    ranks: Ranks | None


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
    stop: Callable[[], bool] | None = None,
    ranks: Ranks | None = None,
) -> TrainResult:
    """Train on text files (or folders, or "-" for standard input) and return the vectors with their account.

    `cache_dir` is where an encoded corpus goes that is too large for memory, if the config does not name a folder where
    it is kept. `tables` are
    W_in and W_out to start from, float32 [V, D], which are trained in place; they are made if not given. `evaluate`
    scores vectors (higher is better) in place of the config's `eval_set`. `on_scan` hears of bytes done and in all;
    `on_start` gets the result, still without vectors of any use, when all settings are known; `on_progress` hears about
    eight times a second. `stop` is asked as often, and ends the run where it returns True: a checkpoint is written if
    the config asks for them, and Stopped raised. Raises InputError for what cannot be trained on or honoured, and
    DivergenceError.

    With the config's `checkpoint` and `resume` a run goes on from its newest checkpoint, which takes the place of what
    is in `tables`; docs/trust.md says what is promised.

    With `ranks` (ranks.joined) each trains on its part of the text, and all get the tables that all came to; with the
    config's `parallel` "dimension" each trains some dimensions on all of it, and gets these.
    docs/many-machines.md has how. Raises RankLostError where one has ended.
    """
    with _settled(config, None, evaluate, tables, on_start, on_progress, stop, ranks) as request:
        watch = Stopwatch()
        with scan_files(inputs, config, cache_dir=cache_dir, on_scan=on_scan, ranks=ranks) as corpus:
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
    stop: Callable[[], bool] | None = None,
) -> TrainResult:
    """Train on lists of words, which are iterated over once; all else is as in `train_files`."""
    if config.force:
        raise InputError("force is for files that are no text: lists of words are not looked at, so leave it out")
    with _settled(config, None, evaluate, tables, on_start, on_progress, stop) as request:
        watch = Stopwatch()
        with encode_sentences(sentences, **_scan_options(config, cache_dir)) as corpus:
            return _train(corpus, request, scanned=watch.read())


def scan_files(
    inputs: Sequence[str | Path],
    config: Config,
    *,
    cache_dir: Path | None = None,
    on_scan: Callable[[int, int | None], None] | None = None,
    ranks: Ranks | None = None,
) -> EncodedCorpus:
    """Encode text files with a config's options of that, for several calls of `train_corpus`.

    Of ranks each has a part of the ids then, or with `parallel` "dimension" all of them.

    With the config's `cache_dir` the scan is kept there, and taken from there if the files are the same (kept_scan.py).
    """
    options = _scan_options(config, cache_dir) | {
        "workers": config.workers,
        "force": config.force,
        "progress": on_scan,
    }
    if ranks is not None:
        refuse_other_texts(inputs, ranks)
    if config.cache_dir is None:
        corpus = scan(inputs, **options, ranks=ranks)
    else:
        corpus = scan_kept(inputs, options.pop("cache_dir"), **options, ranks=ranks)
    if ranks is not None and config.parallel == "dimension":
        folder = Path(config.cache_dir) if config.cache_dir is not None else cache_dir
        with closing(TokenStore(config.cache_above, folder)) as store:
            corpus.tokens = gather_ids(ranks, corpus.tokens, store, len(corpus.vocab))
        corpus.ids_sha256 = None
        memory.trim()
    return corpus


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
    stop: Callable[[], bool] | None = None,
    ranks: Ranks | None = None,
) -> TrainResult:
    """Train on what is encoded already, as experiments do; all else is as in `train_files`.

    How the corpus was encoded is done: the config's options of that (min_count, max_vocab_size, max_final_vocab,
    read_vocab, cache_dir, cache_above, force) only stand in the account. `choice` stands in for what `backends.choose`
    would return, `work` for what `jobs.prepare` would.
    """
    with _settled(config, choice, evaluate, tables, on_start, on_progress, stop, ranks) as request:
        return _train(corpus, request, work=work)


@contextmanager
def _settled(
    config: Config,
    choice: backends.Choice | None,
    evaluate: Evaluate | None,
    tables: Tables | None,
    on_start: Callable[[TrainResult], None] | None,
    on_progress: Callable[[Progress], None] | None,
    stop: Callable[[], bool] | None,
    ranks: Ranks | None = None,
) -> Iterator[_Request]:
    if config.save_vocab is not None:
        check_writable(config.save_vocab, "text")
    if choice is None:
        choice = backends.choose(config)
    else:
        backends.require(choice, config)
    if config.classes is not None:
        classes.read(config.classes)  # what is wrong with the file itself shows before the text is read
    if config.targets is not None:
        targets.check(config.targets, config.vector_size)
    teachers.check(config)
    scores_all, evaluate = evaluate is not None, scoring.evaluator(config, evaluate)
    if tables is not None and config.parallel == "dimension":
        raise InputError("with parallel dimension ranks make the tables, some dimensions each: leave tables out")
    if ranks is not None and config.buckets is not None:
        raise InputError("ranks exchange rows of words, which buckets share: leave buckets out, or have one process")
    if ranks is not None:
        _refuse_other_ranks(ranks, config, choice)
    else:
        for name in OF_RANKS:
            if getattr(config, name) != getattr(Config, name):
                raise InputError(f"{name} is for ranks that train together: start them with torchrun, or leave it out")
    with checkpoint.opened(config, ranks) as folder:
        found = folder.newest() if folder is not None else None
        if found is not None:
            found.refuse_other_run(config, choice)
        yield _Request(config, choice, evaluate, scores_all, tables, on_start, on_progress, stop, folder, found, ranks)


OF_RANKS = ("parallel", "exchange_every", "alpha_scale", "rank_timeout")
# Options in which ranks may differ: what each has on its machine.
_OWN = {"workers", "save_vocab", "cache_dir", "cache_above"}


def _refuse_other_ranks(ranks: Ranks, config: Config, choice: backends.Choice) -> None:
    """Raise InputError if ranks have different versions, settings or backends; warn of too many threads."""
    settings = {name: value for name, value in asdict(config).items() if name not in _OWN}
    here = settings | {"version": __version__, "backend": choice.name, "device": choice.device}
    ranks.agree(here, "start all with the same command and the same installation")
    if choice.device == "cpu":
        busy = config.workers * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        if busy > usable_processors() and ranks.leads:
            warnings.warn(
                f"{busy} threads of this machine's ranks share {usable_processors()} processors: lower workers "
                f"({config.workers}) or --nproc-per-node",
                stacklevel=4,
            )


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
    found, ranks, dimensions = request.found, request.ranks, None
    if ranks is not None and config.parallel == "dimension":
        dimensions, ranks = Dimensions(ranks, config.vector_size), None
    size = ranks.size if ranks is not None else 1  # of those that train parts of the text
    work = work or jobs.prepare(corpus, config, choice, found.tile_settings(config, choice) if found else None, size)
    sharing = None
    if ranks is not None:
        work, sharing = exchange.share(corpus, work, config, ranks)
        config = replace(config, alpha=sharing.alpha)
    settings = _resolved_settings(config, work, choice)
    keeper, before = None, checkpoint.Contents()
    given, checkpointed = request.tables is not None, request.folder is not None
    looked_at = len(corpus.vocab) if request.scores_all else scoring.rows_scored(len(corpus.vocab))
    own = (dimensions.width, looked_at if dimensions.leads else 0) if dimensions is not None else None
    room.refuse_lack_of_memory(work, config, choice, given=given, kept=checkpointed, ranks=size, own=own)
    if request.folder is not None:
        tables = room.table_bytes(work.job, config) * (2 if config.keep_best else 1) * (size + 1 if size > 1 else 1)
        room.refuse_lack_of_space(request.folder.path, tables, "a checkpoint")
        corpus_known = checkpoint.fingerprint(corpus, work)
        if found is not None:
            found.refuse_other_corpus(corpus_known, settings)
            before = found.read() if dimensions is None else found.read(dimensions.own, config.vector_size)
        keeper = request.folder.keeper(request.config, choice, settings, corpus_known, before.state)
    columns = slice(0, config.vector_size) if dimensions is None else dimensions.own
    w_in, w_out = _tables(work.job, config, columns, request.tables, before.tables)
    sum_scores = None if dimensions is None else dimensions.sum_scores
    step = backends.create_step(choice, work.job, w_in, w_out, backends.threads(choice, config), sum_scores)
    if keeper is not None:
        keeper.make_room((w_in, w_out))
    if before.mined is not None:
        cast(Any, step).mined = before.mined  # of the steps of a Mining objective (kernels/contract.py)
    result = TrainResult(
        vocab=corpus.vocab,
        w_in=w_in,
        in_row=work.job.in_row,
        w_out=w_out,
        objective=work.job.objective,
        settings=settings,
        backend=choice.name,
        backend_reason=choice.reason,
        tokens=asdict(corpus.ledger),
        scan_kept=str(corpus.kept) if corpus.kept is not None else None,
        resumed_from=str(found.path) if found is not None else None,
        resumed_at=before.state.visited / len(corpus.tokens),
        dimensions=dimensions,
    )
    if dimensions is not None:
        result.ranks = {"ranks": dimensions.ranks.size, "dimensions": dimensions.width}
    if sharing is not None and size > 1:
        scale = sharing.alpha / request.config.alpha
        result.ranks = {"ranks": size, "alpha_scale": scale, "tokens_between_exchanges": sharing.interval}
    run = Run(work, step, config, before.state, sharing.slots if sharing is not None else None)
    together: exchange.Exchange | Dimensions | None = dimensions
    if ranks is not None and sharing is not None and size > 1:
        kept = corpus.vocab.counts * plan.keep_probability(corpus.vocab.counts, config.sample)
        saved = (before.more, before.extra) if found is not None else None
        together = exchange.Exchange(ranks, sharing, step, work, config, kept, saved)
    scores = Scoring(config, request.evaluate, corpus.vocab, before.best, together, looked_at)
    # A backend that compiles at its first launch does so within the training.
    setup = watch.read()
    if request.on_start is not None:
        request.on_start(result)
    watch = Stopwatch()

    def now() -> checkpoint.Contents:
        spent = {"train": watch.read() - scores.seconds, "evaluate": scores.seconds}
        spent = {name: seconds + before.spent.get(name, Seconds()) for name, seconds in spent.items()}
        more, extra = together.saved() if together is not None else ({}, {})
        mined = checkpoint.mined_of(step, work.job)
        return checkpoint.Contents(run.state, step.tables(), scores.best, mined, spent, more, extra)

    while not (run.finished or scores.out_of_patience(run.state)):
        places = [scores.next_place(run), together.next_place(run) if together is not None else None]
        progress = run.advance(min((place for place in places if place is not None), default=None))
        if request.on_progress is not None:
            request.on_progress(progress)
        stopping = request.stop is not None and not run.finished and request.stop()
        if together is not None:
            asks = keeper is not None and together.leads and keeper.due
            together.follow(run, progress, stop=stopping, due=asks)
        scores.follow(run, progress)
        if together is not None:
            stopping = together.stop and not run.finished
        if keeper is not None and (keeper.due if together is None else together.due):
            keeper.begin(now())
        if stopping:
            raise _stopped(now(), keeper, config)
    if together is not None:
        together.settle()
    end = now()  # brings w_in and w_out up to date
    run.finite_tables()
    if keeper is not None:
        keeper.end(end, needed=False)
    if together is not None:
        for table, merged in zip((w_in, w_out), together.merged(run, (w_in, w_out)), strict=True):
            if table is not merged and table is not _fixed(work.job):
                table[...] = merged
    scores.restore_best(w_in, w_out)
    jobs.quantise(work.job, w_in)
    stages = {"scan": scanned or Seconds(), "setup": setup} | end.spent
    if request.ranks is not None:
        run.state, stages = exchange.totals(request.ranks, run.state, stages, parts=dimensions is None)
    if together is not None:
        result.ranks = (result.ranks or {}) | together.account(run.state.trained)
    _account(result, run, corpus.ledger.in_vocabulary, stages)
    return result


def _stopped(now: checkpoint.Contents, keeper: checkpoint.Keeper | None, config: Config) -> Stopped:
    """Return what a run that was asked to stop ends with, its checkpoint written. Raises InputError if it cannot be."""
    state = now.state
    where = f"stopped in epoch {state.epoch + 1} of {config.epochs}, after {state.visited:,} words"
    if keeper is None:
        return Stopped(f"{where}; nothing was written (--checkpoint DIR would keep what was trained)")
    keeper.end(now, needed=True)
    return Stopped(f"{where}; --checkpoint {config.checkpoint} --resume goes on from there")


def _tables(job: Job, config: Config, dimensions: slice, given: Tables | None, saved: Tables | None) -> Tables:
    """Return the tables to train: those given, or new ones; filled with those saved, if there are any.

    They have the `dimensions` of a config's.
    """
    width = dimensions.stop - dimensions.start
    if given is not None and saved is not None:
        tables = _checked(given, job, config, width)
        for table, other in zip(tables, saved, strict=True):
            if table is not _fixed(job):
                table[...] = other
        return tables
    if given is not None or saved is not None:
        return _checked(cast(Tables, given or saved), job, config, width)
    w_in, fixed = plan.initial_vectors(job.in_rows, config.vector_size, config.seed, dimensions), _fixed(job)
    if fixed is not None:
        return w_in, fixed
    # W_out's memory is untouched, for the workers to touch together.
    return w_in, plan.zeros(job.objective.out_rows(job.vocabulary), width)


def _fixed(job: Job) -> NDArray[np.float32] | None:
    return job.objective.fixed_out if isinstance(job.objective, FixedOut) else None


def _checked(given: Tables, job: Job, config: Config, width: int) -> Tables:
    fixed = _fixed(job)
    shapes = {"w_in": (job.in_rows, width), "w_out": (job.objective.out_rows(job.vocabulary), width)}
    for (name, shape), table in zip(shapes.items(), given, strict=True):
        if table.shape != shape or table.dtype != np.float32:
            raise InputError(
                f"the table {name} is {table.dtype} {list(table.shape)}, this run's is float32 {list(shape)}"
            )
        if not (table.flags.c_contiguous and table.flags.writeable):
            raise InputError(f"the table {name} is trained in place: it must be C-contiguous and writable")
    if fixed is not None and not np.array_equal(given[1], fixed):
        raise InputError(f"the table w_out is fixed by {config.objective}: give its vectors, or no tables")
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
        "precision": choice.precision,
        "negative": config.negatives,
        "workers": backends.threads(choice, config),
        "tile": job.tile,
        "shared_negatives": work.shared_words,
        "early_negatives": work.early_words,
        "tokens_in_flight": job.tokens_in_flight,
        "row_cap": job.row_cap,
        "static_cap": job.in_weight is not None,
        "chunk_size": job.chunk_size,
    }
    return asdict(config) | chosen
