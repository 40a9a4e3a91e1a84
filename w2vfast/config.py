"""Every option of a training run: its default, help, spelling and bounds, once. The command line is built from this."""

import dataclasses
import math
import os
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from w2vfast.errors import InputError

Mode = Literal["sg", "cbow"]
BackendName = Literal["auto", "triton", "native", "torch"]
ObjectiveName = Literal[
    "negative-sampling",
    "nce",
    "sampled-softmax",
    "softmax",
    "hierarchical-softmax",
    "hierarchical-softmax,negative-sampling",
    "class-softmax",
    "binary-code",
    "margin",
    "von-mises-fisher",
]
Code = Literal["plain", "hybrid", "ecc", "hybrid-ecc"]
Preset = Literal["quality", "fast"]
Bits = Literal[1, 2, 8]
Precision = Literal["auto", "float32", "tf32", "bfloat16"]
Parallel = Literal["data", "dimension"]

CACHE_ABOVE = 1 << 25  # bytes; memory stays about that of the tables, whatever the corpus
HIERARCHICAL = "hierarchical-softmax"
BOTH = "hierarchical-softmax,negative-sampling"
NEGATIVES = ("negative-sampling", "nce", BOTH)  # objectives that take K negatives for each pair
DRAWN = (*NEGATIVES, "sampled-softmax", "margin")  # objectives whose tiles draw shared words
TAUGHT = ("negative-sampling",)  # objectives that a teacher goes with
TEACHER_WEIGHT = 0.3  # docs/experiments.md, "Distillation"
# Objectives whose gradients need the sums of scores and no more: what ranks with some dimensions each can train.
SUMMED = ("negative-sampling", "nce", "sampled-softmax", HIERARCHICAL, BOTH, "binary-code")
CODE_WORDS = 512  # of a hybrid code, as in Oda et al. 2017


def usable_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """Return this process's share of the processors: torchrun tells how many processes the machine has."""
    return max(1, usable_processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def option(
    default: Any,
    help: str,
    *,
    aliases: tuple[str, ...] = (),
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    hidden_default: str | None = None,
    objectives: tuple[str, ...] = (),
) -> Any:
    """Declare one option.

    `aliases` are other tools' spellings; `above` is an exclusive lower bound; `objectives` are those that the option
    belongs to, if not to all.
    """
    metadata = {"help": help, "aliases": aliases, "minimum": minimum, "above": above, "maximum": maximum}
    metadata["objectives"] = objectives
    metadata["default_text"] = hidden_default if hidden_default is not None else str(default)
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of one training run, validated when made. Raises InputError naming the option and the remedy.

    Names and meanings are gensim's where gensim has the option; the aliases are word2vec.c's and fastText's spellings.
    """

    mode: Mode = option("sg", "sg (skip-gram) or cbow")
    vector_size: int = option(100, "dimensions of a vector", aliases=("-size", "-dim"), minimum=1, maximum=65536)
    window: int = option(
        5, "largest distance of a target from its centre", aliases=("-window", "-ws"), minimum=1, maximum=1000
    )
    objective: ObjectiveName = option(
        "negative-sampling",
        "what is trained: negative-sampling, nce (noise contrastive estimation), sampled-softmax (importance "
        "sampling), softmax (exact), hierarchical-softmax (a Huffman tree; with ,negative-sampling after it both at "
        "once), class-softmax (class, then word), binary-code (the bits of a word's code), margin (hinge against hard "
        "negatives, skip-gram only) or von-mises-fisher (rows predict given vectors)",
    )
    negative: int | None = option(
        None,
        "K, negatives per pair",
        aliases=("-negative", "-neg"),
        minimum=1,
        maximum=1000,
        hidden_default="5",
        objectives=NEGATIVES,
    )
    sample: float = option(
        1e-3,
        "threshold of subsampling, relative to the corpus; 0 keeps every token, 1 and above is a count (as in gensim)",
        aliases=("-sample", "-t"),
        minimum=0,
    )
    min_count: int = option(
        5, "drop words that occur less often", aliases=("-min-count", "-minCount", "--min_count"), minimum=1
    )
    max_vocab_size: int | None = option(
        None, "bound on the types held while scanning: the rarest are dropped past it", minimum=2, hidden_default="none"
    )
    max_final_vocab: int | None = option(
        None, "raise min-count until at most this many words are left", minimum=2, hidden_default="none"
    )
    epochs: int = option(5, "passes over the corpus", aliases=("-iter", "-epoch"), minimum=1, maximum=1_000_000)
    alpha: float = option(0.025, "learning rate at the start", aliases=("-alpha", "-lr"), above=0, maximum=1)
    min_alpha: float = option(1e-4, "learning rate at the end", minimum=0, maximum=1)
    ns_exponent: float = option(
        0.75, "negatives are drawn from count ** this", minimum=-10, maximum=10, objectives=DRAWN
    )
    log_z: float = option(
        0.0,
        "nce: logarithm of the constant that scores are normalised by",
        minimum=-50,
        maximum=50,
        objectives=("nce",),
    )
    classes: str | None = option(
        None,
        "class-softmax: file of lines 'word class', every word of the vocabulary once",
        hidden_default="made by frequency",
        objectives=("class-softmax",),
    )
    code: Code = option(
        "plain",
        "binary-code: plain; ecc (error-correcting); hybrid (a softmax over the most frequent words, codes for the "
        "rest) or hybrid-ecc",
        objectives=("binary-code",),
    )
    code_words: int | None = option(
        None,
        "binary-code, hybrid: words that have the softmax",
        minimum=1,
        hidden_default=str(CODE_WORDS),
        objectives=("binary-code",),
    )
    code_bits: int | None = option(
        None,
        "binary-code: bits of a word's code before error correction",
        minimum=1,
        maximum=31,
        hidden_default="the fewest that tell the words apart",
        objectives=("binary-code",),
    )
    mined: int = option(
        10,
        "margin: hard negatives of a pair, the wrong words that score best with its centre",
        minimum=1,
        maximum=1000,
        objectives=("margin",),
    )
    mine_every: int = option(
        1_000_000, "margin: tokens visited between two searches for hard negatives", minimum=1, objectives=("margin",)
    )
    mined_share: float = option(
        0.1,
        "margin: share of the weight that hard negatives have, the rest is the drawn ones'",
        above=0,
        maximum=1,
        objectives=("margin",),
    )
    targets: str | None = option(
        None,
        "von-mises-fisher: file of vectors of --vector-size dimensions, the words' directions to be predicted",
        hidden_default="none",
        objectives=("von-mises-fisher",),
    )
    norm_penalty: float = option(
        0.0,
        "von-mises-fisher: lambda_1, what the predicted vector's norm adds to the loss",
        minimum=0,
        maximum=1000,
        objectives=("von-mises-fisher",),
    )
    dot_weight: float = option(
        1.0,
        "von-mises-fisher: lambda_2, what the dot product with the target weighs in the loss",
        above=0,
        maximum=1000,
        objectives=("von-mises-fisher",),
    )
    bits: Bits | None = option(
        None,
        "1, 2 or 8: train vectors of so many bits a value; a .safetensors output holds just these",
        hidden_default="none, float32",
    )
    buckets: int | None = option(
        None,
        "B, rows of W_in in all: the B / 2 most frequent words have one each, the others share the rest by hashing",
        minimum=4,
        hidden_default="none, a row a word",
    )
    teacher: tuple[str, ...] | None = option(
        None,
        "a model (--save-model) whose scores make the labels soft: distillation; given again for several, whose "
        "probabilities are averaged",
        hidden_default="none",
        objectives=TAUGHT,
    )
    teacher_weight: float = option(
        TEACHER_WEIGHT, "what of a label is the teacher's, 0 to 1", minimum=0, maximum=1, objectives=TAUGHT
    )
    teacher_temperature: float = option(
        1.0, "what the teacher's scores are divided by before the sigmoid", above=0, maximum=1000, objectives=TAUGHT
    )
    teacher_partial: bool = option(
        False, "pairs with words that a teacher lacks learn from the text alone", objectives=TAUGHT
    )
    cbow_mean: bool = option(True, "cbow: average the window's vectors (else sum them)")
    shrink_windows: bool = option(True, "draw each centre's window uniformly from 1 to --window (else always --window)")
    seed: int = option(1, "seed of every random decision", minimum=0, maximum=2**64 - 1)
    workers: int = option(
        default_workers,
        "threads",
        aliases=("-threads", "-thread"),
        minimum=1,
        maximum=4096,
        hidden_default="all processors, shared out among a machine's ranks",
    )
    deterministic: bool = option(
        False,
        "the same vectors, bit for bit, for any number of workers (native, and torch on the CPU with one thread)",
    )
    backend: BackendName = option("auto", "triton, native or torch; auto takes the fastest that can run here")
    device: str | None = option(
        None,
        "cuda, cuda:N (the GPU number N, from 0), cpu or mps; mps is torch's alone",
        hidden_default="cuda where present, else cpu",
    )
    preset: Preset = option(
        "quality",
        "quality: on a par with gensim; fast: fewer negatives a token (README says what it costs and gains)",
        objectives=DRAWN,
    )
    precision: Precision = option(
        "auto",
        "what products are computed in, sums and tables being float32: float32, tf32 (triton) or bfloat16 (native, on "
        "processors with AVX512-BF16); auto takes the fastest of the backend that was measured to cost no quality",
    )
    tile: int | None = option(None, "T, centres that share negatives", minimum=1, maximum=512, hidden_default="chosen")
    shared_negatives: int | None = option(
        None,
        "N, negatives shared by a tile",
        minimum=1,
        maximum=1024,
        hidden_default="chosen",
        objectives=DRAWN,
    )
    early_negatives: int | None = option(
        None,
        "N in the first half of a run: fewer are faster, and the second half makes up for them",
        minimum=1,
        maximum=1024,
        hidden_default="chosen",
        objectives=DRAWN,
    )
    tokens_in_flight: int | None = option(
        None,
        "tokens computed from one snapshot of the tables, in whole tiles (torch, triton, deterministic native)",
        minimum=1,
        maximum=2**20,
        hidden_default="chosen",
    )
    parallel: Parallel = option(
        "data",
        "ranks: data (each trains both tables on its part of the text) or dimension (each has some dimensions of all "
        "rows, for tables larger than one memory; torch)",
    )
    exchange_every: int | None = option(
        None,
        "ranks: tokens that each trains from one exchange of changes to the next",
        minimum=1,
        hidden_default="chosen",
    )
    alpha_scale: float | None = option(
        None,
        "ranks: what alpha is multiplied by",
        above=0,
        maximum=10,
        hidden_default="0.2 more for each rank beyond the first, at most 2",
    )
    rank_timeout: float = option(1800.0, "ranks: seconds without an answer after which a rank is lost", above=0)
    cap: float = option(2.0, "row cap C0: bound on a row's summed learning rate in one step", above=0, maximum=1e9)
    eval_every: float | None = option(
        None, "score the vectors every so many epochs (0.5: twice an epoch)", above=0, hidden_default="never"
    )
    eval_set: str = option(
        "wordsim353", "what to score on: wordsim353, simlex999, questions-words, or a file of word pairs or analogies"
    )
    keep_best: bool = option(False, "keep the vectors with the best score instead of the last")
    patience: int | None = option(
        None, "stop after so many scores in a row without a new best", minimum=1, hidden_default="never"
    )
    cache_dir: str | None = option(
        None,
        "folder where the scan is kept: a later run on the same files with the same options does not read them again",
        hidden_default="none; ids too large for memory lie in a temporary file beside the output",
    )
    cache_above: int = option(
        CACHE_ABOVE,
        "bytes of encoded corpus held in memory while scanning; larger ones lie in a temporary file",
        minimum=0,
    )
    force: bool = option(False, "train on files that are no text, as their first bytes and their words tell")
    checkpoint: str | None = option(
        None,
        "folder that the run's state is written to, for --resume",
        hidden_default="none",
    )
    checkpoint_every: float = option(600.0, "seconds from one checkpoint to the next", above=0)
    resume: bool = option(
        False, "go on from the newest checkpoint in --checkpoint, or begin if there is none; epochs may be more now"
    )
    save_vocab: str | None = option(
        None, "write the vocabulary here, 'word count' a line", aliases=("-save-vocab",), hidden_default="none"
    )
    read_vocab: str | None = option(
        None, "take the vocabulary from this file instead of counting", aliases=("-read-vocab",), hidden_default="none"
    )

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            _check_value(field, hints[field.name], getattr(self, field.name))
        if self.min_alpha > self.alpha:
            raise InputError(
                f"min_alpha ({self.min_alpha}) is above alpha ({self.alpha}): give a min_alpha up to alpha"
            )
        if self.device is not None and not re.fullmatch(r"cuda(:\d{1,3})?|cpu|mps", self.device):
            raise InputError(f"device must be one of cuda, cuda:N, cpu, mps, not {self.device!r}")
        if self.deterministic and (self.backend == "triton" or self.device not in (None, "cpu")):
            where = f"backend {self.backend}" if self.backend == "triton" else f"device {self.device}"
            raise InputError(f"{where} adds in no fixed order: deterministic needs native, or torch on the CPU")
        if self.cbow_mean != type(self).cbow_mean and self.mode != "cbow":
            raise InputError(f"cbow_mean is cbow's: it does not go with mode {self.mode}")
        if self.preset == "fast" and self.tile is not None and self.shared_negatives is not None:
            raise InputError("preset fast chooses tile and shared_negatives: leave one of the three out")
        for field in dataclasses.fields(self):
            owners = field.metadata["objectives"]
            if owners and self.objective not in owners and getattr(self, field.name) != field.default:
                raise InputError(
                    f"{field.name} is {' and '.join(owners)}'s: it does not go with objective {self.objective}"
                )
        if self.code_words is not None and not self.is_hybrid:
            raise InputError(f"code_words is for hybrid codes: it does not go with code {self.code}")
        if self.objective == "margin" and self.mode != "sg":
            raise InputError("margin mines hard negatives of a centre word: it needs mode sg (skip-gram)")
        if self.mined_share == 1 and (
            self.shared_negatives is not None
            or self.early_negatives is not None
            or self.ns_exponent != type(self).ns_exponent
        ):
            raise InputError(
                "mined_share 1 draws no words: leave shared_negatives, early_negatives and ns_exponent out, or lower it"
            )
        if self.parallel == "dimension":
            self._refuse_for_dimension()
        if self.buckets is not None and (self.objective == "margin" or self.bits is not None):
            other = "bits" if self.bits is not None else "objective margin"
            raise InputError(f"buckets does not go with {other}: leave one of them out")
        if self.teacher is not None and self.buckets is not None:
            raise InputError("buckets does not go with teacher, which knows words: leave one of them out")
        if self.teacher is None:
            for name in ("teacher_weight", "teacher_temperature", "teacher_partial"):
                if getattr(self, name) != getattr(type(self), name):
                    raise InputError(f"{name} is how a teacher is listened to: name its model with teacher too")
        if (self.targets is None) == (self.objective == "von-mises-fisher"):
            raise InputError("von-mises-fisher predicts given vectors: name a file of them with --targets")
        if self.eval_every is None and (self.keep_best or self.patience is not None):
            raise InputError("keep_best and patience go by scores while training: give eval_every too")
        if self.eval_every is not None and self.eval_every > self.epochs:
            raise InputError(f"eval_every ({self.eval_every:g}) is past the run's {self.epochs} epochs: lower it")
        if self.eval_every is None and self.eval_set != type(self).eval_set:
            raise InputError("eval_set is what eval_every scores on: give eval_every too")
        if self.checkpoint is None and (self.resume or self.checkpoint_every != type(self).checkpoint_every):
            raise InputError("resume and checkpoint_every go with checkpoints: name their folder with checkpoint too")
        if self.read_vocab is not None and self.max_vocab_size is not None:
            raise InputError("max_vocab_size bounds a scan that counts: it does not go with read_vocab")

    def _refuse_for_dimension(self) -> None:
        """Raise InputError for what ranks that have some dimensions each cannot do."""
        if self.objective not in SUMMED:
            raise InputError(
                f"parallel dimension sums scores, and {self.objective} needs whole rows: take parallel data, or one of "
                f"{', '.join(SUMMED)}"
            )
        for name in ("bits", "buckets", "teacher", "exchange_every", "alpha_scale"):
            if getattr(self, name) is not None:
                raise InputError(f"{name} does not go with parallel dimension: leave one of them out")
        if self.device == "mps":
            raise InputError("ranks cannot sum scores on mps: parallel dimension needs device cpu or cuda")

    @property
    def is_hybrid(self) -> bool:
        """Whether a code's most frequent words have a softmax."""
        return self.code.startswith("hybrid")

    @property
    def negatives(self) -> int:
        """K, negatives for each pair: `negative`, or 5; 0 where the objective takes none."""
        return (self.negative or 5) if self.objective in NEGATIVES else 0


def flag(name: str) -> str:
    """Return the command-line spelling of an option's name."""
    return "--" + name.replace("_", "-")


def _check_value(field: dataclasses.Field[Any], hint: Any, value: Any) -> None:
    name, bounds = field.name, field.metadata
    kinds = get_args(hint) if type(None) in get_args(hint) else (hint,)
    if value is None and type(None) in kinds:
        return
    kind = next(k for k in kinds if k is not type(None))
    if get_origin(kind) is Literal:
        if value not in get_args(kind) or isinstance(value, bool):
            raise InputError(f"{name} must be one of {', '.join(map(str, get_args(kind)))}, not {value!r}")
        return
    if get_origin(kind) is tuple:
        if not isinstance(value, tuple) or not value or not all(isinstance(item, str) for item in value):
            raise InputError(f"{name} must be a tuple of file names, not {value!r}")
        return
    accepted: tuple[type, ...] = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
        raise InputError(f"{name} must be of type {kind.__name__}, not {value!r}")
    if not isinstance(value, (int, float)) or kind is bool:
        return
    if not math.isfinite(value):
        raise InputError(f"{name} must be a finite number, not {value}")
    low, above, high = bounds["minimum"], bounds["above"], bounds["maximum"]
    below = (low is not None and value < low) or (above is not None and value <= above)
    if below or (high is not None and value > high):
        at_least = f"above {above}" if above is not None else f"at least {low}"
        at_most = f" and at most {high:,}" if high is not None else ""
        raise InputError(f"{name} must be {at_least}{at_most}, not {value}")
