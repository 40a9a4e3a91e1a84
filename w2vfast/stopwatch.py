"""Wall and CPU seconds of a run's stages."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Seconds:
    """How long something took; `cpu` is that of all threads."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall - other.wall, self.cpu - other.cpu)


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._start = _now()

    def read(self) -> Seconds:
        """Return the time since it was made."""
        return _now() - self._start


def _now() -> Seconds:
    return Seconds(time.perf_counter(), time.process_time())
