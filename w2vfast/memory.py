"""How much memory this process has taken."""

import importlib
import sys
from pathlib import Path


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


def trim() -> None:
    """Give memory that was freed back to the system: what reading a corpus leaves unused is not needed again."""
    try:
        scanner = importlib.import_module("w2vfast._scanner")
    except ImportError:
        return
    scanner.trim()
