"""How much memory this process has taken, and how much more it can take: the machine and its cgroups bound it."""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from w2vfast.errors import InputError

# What a cgroup is bounded by, has taken, and could give back at once (of its files in memory), in versions 2 and 1.
_CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def peak_rss_bytes() -> int | None:
    """Return the largest resident set of this process so far in bytes, None where the system does not tell."""
    try:
        # Not getrusage's figure on Linux: that starts from the size of the process that started this one.
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def rss_bytes() -> int | None:
    """Return the resident set of this process in bytes, None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def trim() -> None:
    """Give memory that was freed back to the system: what reading a corpus leaves unused is not needed again."""
    try:
        scanner = importlib.import_module("w2vfast._scanner")
    except ImportError:
        return
    scanner.trim()


def available_bytes(root: Path = Path("/")) -> tuple[int, str] | None:
    """Return how many bytes of memory this process can still take, and what bounds them; None where nothing tells.

    The least counts of what the machine has free (with what it can give back at once), of the limits of the cgroups
    that the process is in (version 1 and 2, those above them too), and of RLIMIT_AS and RLIMIT_DATA. `root` is where
    /proc and /sys lie.
    """
    return min([*_machine(root), *_cgroups(root), *_limits(root)], default=None)


def require(parts: Mapping[str, int], remedy: str) -> None:
    """Raise InputError, which names the `parts` (what for: bytes) and the `remedy`, if so much memory cannot be had."""
    found, needed = available_bytes(), sum(parts.values())
    if found is None or needed <= found[0]:
        return
    named = ", ".join(f"{shown(size)} {what}" for what, size in parts.items() if size)
    raise InputError(
        f"{shown(needed)} of memory are needed ({named}), and {found[1]} leaves {shown(found[0])}: {remedy}"
    )


def shown(size: int) -> str:
    """Return a number of bytes as text."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _machine(root: Path) -> Iterator[tuple[int, str]]:
    with suppress(OSError, ValueError):
        lines = (line.split() for line in (root / "proc/meminfo").read_text().splitlines())
        found = {name: int(value) * 1024 for name, value, *_ in lines}
        if "MemAvailable:" in found:
            yield found["MemAvailable:"], f"the machine (of {shown(found['MemTotal:'])})"
            return
    with suppress(AttributeError, OSError, ValueError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") - (peak_rss_bytes() or 0), "the machine"


def _cgroups(root: Path) -> Iterator[tuple[int, str]]:
    try:
        own = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
        mounts = [line.split() for line in (root / "proc/self/mountinfo").read_text().splitlines()]
    except OSError:
        return
    for number, controllers, path in (entry for entry in own if len(entry) == 3):
        version = 0 if number == "0" and not controllers else 1
        if version and "memory" not in controllers.split(","):
            continue
        for mount in mounts:
            kind, _, options = mount[mount.index("-") + 1 :]
            if kind != ("cgroup", "cgroup2")[not version] or (version and "memory" not in options.split(",")):
                continue
            top = root / mount[4].lstrip("/")
            # In a container the mount is of a part of the tree, which the path begins with or leads out of.
            below = path.removeprefix(mount[3]) if mount[3] != "/" else path
            group = top / below.lstrip("/") if ".." not in below else top
            for folder in (group, *group.parents):
                yield from _cgroup(folder, *_CGROUP_FILES[version])
                if folder == top:
                    break


def _cgroup(folder: Path, limit: str, taken: str, idle: str) -> Iterator[tuple[int, str]]:
    with suppress(OSError, ValueError):  # "max" is no number
        most = int((folder / limit).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        used = int((folder / taken).read_text()) - int(stat.get(idle, 0))
        yield max(0, most - used), f"the cgroup's limit ({limit}: {shown(most)})"


def _limits(root: Path) -> Iterator[tuple[int, str]]:
    with suppress(ImportError, OSError, ValueError, StopIteration):
        import resource

        status = (root / "proc/self/status").read_text().splitlines()
        for name, entry in (("RLIMIT_AS", "VmSize:"), ("RLIMIT_DATA", "VmData:")):
            most, _ = resource.getrlimit(getattr(resource, name))
            if most != resource.RLIM_INFINITY:
                used = next(int(line.split()[1]) * 1024 for line in status if line.startswith(entry))
                yield max(0, most - used), f"{name} ({shown(most)})"
