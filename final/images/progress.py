"""What the user sees of many layers at once: bars on a terminal, a line a step elsewhere, or nothing."""

from __future__ import annotations

import sys
import threading

from final.images.digest import short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Progress:
    """For `with`. quiet: say nothing. Threads may share it."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._lock = threading.Lock()
        self._bars = None
        if quiet or not sys.stderr.isatty() or not sys.stdout.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._bars = Progress(*columns, console=Console(stderr=True), transient=True)

    def __enter__(self) -> Progress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()

    def say(self, line: str) -> None:
        """A line of its own."""
        if self._quiet:
            return
        with self._lock:
            if self._bars:
                self._bars.refresh()  # what is done has no bar any more
                self._bars.console.print(line, markup=False, highlight=False)
            else:
                print(line, flush=True)

    def blob(self, digest: str, doing: str, total: int) -> Callable[[int], None]:
        """A blob begins to move; the function is to be called with the number of bytes moved so far."""
        bars = self._bars
        if not bars:
            return lambda count: None
        task = bars.add_task(f"{short(digest)}: {doing}", total=total)
        return lambda count: bars.update(task, completed=count, visible=count < total)

    def done(self, digest: str, what: str) -> None:
        """A blob has arrived."""
        self.say(f"{short(digest)}: {what}")
