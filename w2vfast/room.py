"""What memory and disk a run needs, told before it takes them: who lacks it is told so with numbers and a remedy."""

import shutil
from dataclasses import replace
from pathlib import Path

from w2vfast import memory
from w2vfast.backends import Choice
from w2vfast.config import Config
from w2vfast.errors import InputError
from w2vfast.files import PathLike
from w2vfast.jobs import Work
from w2vfast.kernels.contract import FixedOut, Job

FLOAT = 4  # bytes


def table_bytes(job: Job, config: Config) -> int:
    """Return the bytes of W_in and W_out."""
    return FLOAT * config.vector_size * (job.in_rows + job.objective.out_rows(job.vocabulary))


def memory_needed(
    work: Work,
    config: Config,
    choice: Choice,
    *,
    given: bool,
    kept: bool,
    ranks: int = 1,
    own: tuple[int, int] | None = None,
) -> dict[str, int]:
    """Return what a run will take beside corpus and vocabulary, in bytes, and what for.

    `given` says that the tables exist already, `kept` that checkpoints are written of them; it is one of `ranks` that
    train copies of them, or has `own`: so many dimensions, and whole rows to be scored.
    """
    job, scored = work.job, FLOAT * config.vector_size * work.job.vocabulary
    if own is not None:
        scored = FLOAT * config.vector_size * own[1]
        config = replace(config, vector_size=own[0])
    D, tables = config.vector_size, table_bytes(job, config)
    made = tables if not isinstance(job.objective, FixedOut) else FLOAT * D * job.in_rows
    # A tile's rows and the columns that they meet, as numbers, gradients and steps; the rest is small against them.
    reach = job.tile + 2 * job.window
    tile = FLOAT * (4 * D * (reach + work.shared_words) + 4 * job.tile * (reach + work.shared_words))
    in_flight = max(1, job.tokens_in_flight // job.tile) if choice.name == "torch" else config.workers
    return {
        "for the tables": 0 if given else made,
        "for what the ranks have in common, and what they come to": 2 * tables * (ranks > 1),
        "for the copy that checkpoints are written from": tables * kept * (2 if ranks > 1 else 1),
        "for the best tables (keep_best)": tables * config.keep_best,
        "for scoring": scored * (config.eval_every is not None),
        "for mined words": 12 * job.vocabulary * config.mined * (config.objective == "margin"),
        "for tiles": tile * in_flight * (choice.device == "cpu"),
    }


def refuse_lack_of_memory(
    work: Work,
    config: Config,
    choice: Choice,
    *,
    given: bool,
    kept: bool,
    ranks: int = 1,
    own: tuple[int, int] | None = None,
) -> None:
    """Raise InputError if a run would need more memory than can be had; see `memory_needed`."""
    remedies = [
        f"lower vector_size ({config.vector_size})",
        f"have fewer words than {work.job.vocabulary:,} (a larger min_count, or max_final_vocab)",
        *(["do without keep_best"] if config.keep_best else []),
        *(["do without checkpoint"] if kept else []),
        "or give it more memory",
    ]
    needed = memory_needed(work, config, choice, given=given, kept=kept, ranks=ranks, own=own)
    memory.require(needed, ", ".join(remedies))


def refuse_lack_of_space(path: PathLike, needed: int, what: str) -> None:
    """Raise InputError if a file of `needed` bytes does not fit beside `path`, which may be the file that it replaces.

    What is no regular file (a pipe, /dev/null) has no size to be told.
    """
    target = Path(path)
    if target.exists() and not target.is_file() and not target.is_dir():
        return
    folder = target if target.is_dir() else target.absolute().parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if needed > free:
        raise InputError(
            f"{what} needs {memory.shown(needed)} of disk space, and {folder} has {memory.shown(free)} free: free "
            "space there, or choose another folder"
        )
