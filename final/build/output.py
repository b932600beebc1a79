"""What the user sees of a build: Docker's plain lines in a pipe, colours on a terminal, or nothing but what failed."""

from __future__ import annotations

import os
import sys
import time

from ch02_namespaces.errors import one_line
from final.images.digest import short

MOST_KEPT = 1 << 16  # bytes of a command's output, shown when it fails in silence


class Output:
    """progress: auto or plain; quiet: say nothing. total: how many steps there are."""

    def __init__(self, progress: str, quiet: bool) -> None:
        self.total = 0
        self._quiet = quiet
        self._number = 0
        self._began = 0.0
        self._kept = b""
        self._console = None
        if not quiet and progress == "auto" and sys.stdout.isatty():
            from rich.console import Console

            self._console = Console(highlight=False, soft_wrap=True)

    def begin(self, text: str) -> None:
        """The next step."""
        self._number += 1
        self._began = time.monotonic()
        self._kept = b""
        line = one_line(text)
        self._say(f"Step {self._number}/{self.total} : {line}", f"[{self._number}/{self.total}] ", line)

    def more(self, text: str) -> None:
        """A step that nobody has counted: what the image below wants to be done."""
        self._say(f"# ONBUILD {one_line(text)}", "", f"ONBUILD {one_line(text)}")

    def cached(self, diff_id: str) -> None:
        """It has been done before."""
        self._say(f" ---> Using cache\n ---> {short(diff_id)}", "", "cached", "dim")

    def made(self, diff_id: str) -> None:
        """It has made a layer."""
        self._say(f" ---> {short(diff_id)}", "", f"{time.monotonic() - self._began:.1f} s", "dim")

    def end(self, id: str, names: list[str]) -> None:
        """The image is there."""
        if self._quiet:
            print(id, flush=True)
            return
        self._say(f"Successfully built {short(id)}", "", f"Built {short(id)}", "green")
        for name in names:
            self._say(f"Successfully tagged {name}", "", f"Tagged {name}", "green")

    def show(self, data: bytes) -> None:
        """What a command prints."""
        if self._quiet:
            self._kept = (self._kept + data)[-MOST_KEPT:]
            return
        _write(1, data)

    def failed(self) -> None:
        """The command has failed: what it printed in silence explains it."""
        _write(2, self._kept)

    def _say(self, plain: str, number: str, text: str, style: str = "bold") -> None:
        if self._quiet:
            return
        if self._console is None:
            print(plain, flush=True)
            return
        from rich.text import Text

        self._console.print(Text.assemble((number, "cyan"), (text, style)))


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
