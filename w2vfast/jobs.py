"""From a corpus and a config to what a backend is given: tile sizes, thresholds, static weights, the Job."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w2vfast import objectives, plan, teachers, tiles
from w2vfast.backends import Choice, short_tiles
from w2vfast.config import Config
from w2vfast.corpus import EncodedCorpus
from w2vfast.errors import InputError
from w2vfast.kernels.contract import Job, Objective
from w2vfast.kernels.huffman import Tree
from w2vfast.kernels.levels import levels_of
from w2vfast.tiles import EARLY_SHARE, TileSettings
from w2vfast.vectors import BLOCK_ROWS


@dataclass(frozen=True, eq=False)
class Work:
    """A job, and the numbers of shared words a tile that visits ask for."""

    job: Job
    shared_words: int  # N
    early_words: int  # N in the first part of a run

    def early_chunks(self, done: int, total: int) -> int:
        """Return how many of the chunks that follow on `done` of a run's `total` tokens have the early N.

        Whole groups of chunks; the answer may be more than there are.
        """
        if self.early_words == self.shared_words:
            return 0
        left = math.ceil((EARLY_SHARE * total - done) / self.job.chunk_size)
        return max(0, left) // self.job.chunks_in_group * self.job.chunks_in_group


def prepare(
    corpus: EncodedCorpus, config: Config, choice: Choice, settings: TileSettings | None = None, ranks: int = 1
) -> Work:
    """Return what a backend needs to train on a corpus, or on one of `ranks` parts of it.

    `settings` stands in for what tiles.py would choose.
    """
    counts, tokens = corpus.vocab.counts, len(corpus.tokens) if ranks == 1 else corpus.ledger.in_vocabulary
    keep = plan.keep_probability(counts, config.sample)
    if settings is None:
        trained = tokens * float(counts @ keep) / float(counts.sum()) * config.epochs / ranks
        settings = tiles.choose(config, choice.name, choice.device, trained, tokens, len(counts), short_tiles(choice))
        if ranks > 1 and config.early_negatives is None:  # what ranks lose was measured without
            settings = replace(settings, early_negatives=settings.shared_negatives)
    return make(corpus.tokens, counts, keep, config, settings, corpus.vocab.words)


def make(
    tokens: NDArray[np.int32],
    counts: NDArray[np.int64],
    keep: NDArray[np.float64],
    config: Config,
    settings: TileSettings,
    words: Sequence[str] | None = None,
    tree: Tree | None = None,
) -> Work:
    """Return the job of a token stream; `keep` is each word's probability to survive subsampling, float64 [V].

    The `words` are needed by objectives that come with a file of them; `tree` stands in for the Huffman tree of these
    counts. Raises InputError for what does not fit them.
    """
    objective = objectives.create(config, counts, words, tree)
    weights: tuple[NDArray[np.float32], NDArray[np.float32]] | tuple[None, None] = None, None
    in_row = _shared_rows(config.buckets, words, len(counts)) if config.buckets is not None else None
    if settings.static_cap:
        weights = static_weights(counts * keep, config, objective, settings.tokens_in_flight)
        if in_row is not None:
            weights = np.bincount(in_row, weights[0]).astype(np.float32), weights[1]
    job = Job(
        tokens=tokens,
        keep_threshold=plan.keep_thresholds(keep),
        objective=objective,
        in_weight=weights[0],
        out_weight=weights[1],
        in_row=in_row,
        bits=config.bits,
        teacher=teachers.read(config, words) if config.teacher is not None else None,
        mode=config.mode,
        cbow_mean=config.cbow_mean,
        window=config.window,
        shrink_windows=config.shrink_windows,
        tile=settings.tile,
        tokens_in_flight=settings.tokens_in_flight,
        cap=config.cap,
        row_cap=settings.row_cap,
        chunk_size=plan.chunk_size(len(tokens), config.window),
        seed=config.seed,
    )
    if objective.noise is None:
        return Work(job, 0, 0)
    return Work(job, settings.shared_negatives, settings.early_negatives)


def word_vectors(job: Job, w_in: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the vectors of words [V, D], as tiles see them, that a job's W_in stands for: rows, or their levels."""
    if job.in_row is not None:
        w_in = w_in[job.in_row]
    if job.bits is None:
        return w_in
    return levels_of(job.bits, w_in.shape[1]).nearest(w_in)


def _shared_rows(buckets: int, words: Sequence[str] | None, V: int) -> NDArray[np.int32]:
    """Return each word's row of W_in, int32 [V]: B / 2 of their own, the rest by the CRC-32 of the words.

    Raises InputError where there is nothing to share, or no words are known.
    """
    if words is None:
        raise InputError("buckets go by the words: train by the command or train_files")
    if buckets >= V:
        raise InputError(
            f"{buckets:,} buckets for {V:,} words leave nothing to share: give fewer, or leave buckets out"
        )
    own = buckets - buckets // 2
    hashed = [zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words[own:]]
    shared = own + np.array(hashed, np.int64) % (buckets // 2)
    rows = np.concatenate([np.arange(own), shared])
    # Numbers without gaps: a bucket that no word falls into has no row.
    return np.unique(rows, return_inverse=True)[1].astype(np.int32)


def quantise(job: Job, w_in: NDArray[np.float32]) -> None:
    """Replace W_in by the levels that the job's tiles read, if it has bits."""
    for start in range(0, len(w_in) if job.bits is not None else 0, BLOCK_ROWS):
        w_in[start : start + BLOCK_ROWS] = word_vectors(job, w_in[start : start + BLOCK_ROWS])


def static_weights(
    kept: NDArray[np.float64], config: Config, objective: Objective, tokens_in_flight: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the expected weight of each row of W_in [V] and of W_out [out_rows] among the tokens in flight.

    `kept` is how often each word is trained on in an epoch, float64 [V]. A trained token has W + 1 words in its window
    on average (2 W without shrinking). In skip-gram it is as often an input, and as often a target; in CBOW it is as
    often an input, and once a target.
    """
    unigram = tokens_in_flight * kept / kept.sum()
    inputs = unigram * (config.window + 1.0 if config.shrink_windows else 2.0 * config.window)
    in_weight = (inputs * objective.weight_per_pair).astype(np.float32)
    return in_weight, objective.static_out_weight(inputs if config.mode == "sg" else unigram)
