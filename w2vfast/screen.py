"""The progress bars of a training: of the scan in bytes, then of the run in words."""

import sys
from functools import partial
from typing import Any

from w2vfast.run import Progress


class Screen:
    """Bars on stderr; none where stderr is no terminal, nor if it is to be `quiet`."""

    def __init__(self, *, quiet: bool = False) -> None:
        from tqdm import tqdm

        quiet = quiet or not sys.stderr.isatty()
        self._make: Any = partial(tqdm, disable=quiet, file=sys.stderr, smoothing=0.1, dynamic_ncols=True)
        self._scan: Any = None
        self._bar: Any = None

    def scanned(self, done: int, total: int | None) -> None:
        """Show the scan's progress in bytes."""
        if self._scan is None:
            self._scan = self._make(total=total, desc="scan", unit="B", unit_scale=True, leave=False)
        self._scan.update(done - self._scan.n)

    def trained(self, progress: Progress) -> None:
        """Show tokens done, learning rate and loss."""
        if self._scan is not None:
            self._scan.close()
        if self._bar is None:
            self._bar = self._make(total=progress.tokens_total, desc="train", unit="word", unit_scale=True)
        score = "" if progress.score is None else f", score {progress.score:.2f}"
        self._bar.set_postfix_str(
            f"epoch {progress.epoch + 1}, lr {progress.learning_rate:.5f}, loss {progress.loss:.4f}{score}",
            refresh=False,
        )
        self._bar.update(progress.tokens_done - self._bar.n)

    def close(self) -> None:
        """End the bars."""
        for bar in (self._scan, self._bar):
            if bar is not None:
                bar.close()
