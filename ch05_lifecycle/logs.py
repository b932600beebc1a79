"""What a container prints, kept in files: written by its watcher, read by `logs`. Book section 5.3.

A line of the log is one of the container's with its time and stream, in the form that Kubernetes' runtimes use (CRI,
"container log"):

    2026-01-31T12:00:00.123456789Z stdout F the line, byte for byte
    2026-01-31T12:00:00.123456789Z stderr P a line that goes on in the next

When `log` has its full size it becomes log.1, log.1 becomes log.2, and the oldest goes.
"""

from __future__ import annotations

import os
import time

from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

NANOSECOND = 1_000_000_000
STREAMS = {"stdout": 1, "stderr": 2}


def timestamp(nanoseconds: int) -> str:
    """UTC with nine digits of a second: RFC 3339."""
    seconds, fraction = divmod(nanoseconds, NANOSECOND)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}Z"


def parse_time(text: str) -> str:
    """A moment for comparison with timestamps: one of them or its beginning (UTC), seconds since 1970, or how long ago,
    such as 10m or 1h30m. Raises EngineError.
    """
    if text.isascii() and text.isdecimal() and len(text) <= 11:
        return timestamp(int(text) * NANOSECOND)
    if text[:4].isdigit() and text[4:5] == "-":
        return text
    seconds, number = 0.0, ""
    for character in text:
        if character.isdigit() or character == ".":
            number += character
            continue
        if character not in "smhd" or not number:
            raise EngineError(repr(text), "it is no time", "2026-01-31T12:00:00, or 10m for ten minutes ago")
        seconds += float(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[character]
        number = ""
    if number or not text:
        raise EngineError(repr(text), "it is no time", "2026-01-31T12:00:00, or 10m for ten minutes ago")
    return timestamp(time.time_ns() - int(seconds * NANOSECOND))


class LogWriter:
    """Appends to a container's log. A disk that is full does not stop the container: what could not be kept is counted,
    and the log says so as soon as there is room."""

    def __init__(self, path: str, most_bytes: int, most_files: int) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._most_files = most_files
        self._file = -1
        self._size = 0
        self._lost = 0
        self._why = ""

    def add(self, stream: str, data: bytes) -> None:
        """Keep what the container printed: some lines, the last of which may be unfinished."""
        self._append(_lines(stream, data))

    def note(self, text: str) -> None:
        """Say something ourselves, in stderr's name."""
        self._append(_lines("stderr", f"mydocker: {text}\n".encode()))

    def close(self) -> None:
        """Close the file."""
        if self._lost:
            lost, self._lost = self._lost, 0
            self.note(f"{lost} bytes of output are lost: {self._why}")
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _append(self, lines: bytes) -> None:
        try:
            self._open()
            if self._lost:
                lost, self._lost = self._lost, 0
                self._write(_lines("stderr", f"mydocker: {lost} bytes of output are lost: {self._why}\n".encode()))
            self._write(lines)
        except OSError as error:
            self._lost += len(lines)
            self._why = str(error.strerror)

    def _write(self, lines: bytes) -> None:
        """All or nothing: half a line would be no line."""
        start = os.lseek(self._file, 0, os.SEEK_END)
        try:
            left = lines
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            os.ftruncate(self._file, start)
            raise
        self._size = start + len(lines)

    def _open(self) -> None:
        if self._file >= 0 and self._size < self._most_bytes:
            return
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self._rotate()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o640)
        self._size = os.fstat(self._file).st_size

    def _rotate(self) -> None:
        """Make room for a new file: PATH becomes PATH.1, that becomes PATH.2, and so on, up to self._most_files in all;
        the oldest goes. Those that are not there yet are passed over; where one file is all, it goes.

        Example: of log, log.1 and log.2, with 3 files in all, log.1 (it was log) and log.2 (it was log.1) are left.
        Raises OSError. Source: rename(2).
        """
        if self._most_files == 1:
            os.unlink(self._path)
            return
        for number in range(self._most_files - 1, 0, -1):
            older = f"{self._path}.{number}"
            newer = f"{self._path}.{number - 1}" if number > 1 else self._path
            if os.path.exists(newer):
                os.rename(newer, older)


def _lines(stream: str, data: bytes) -> bytes:
    """Lines of the log for what was printed at this moment, in the form that is shown above; none for nothing.

    What stands behind the last newline is a line of the log, too, with P for partial. All bytes are kept as they are.
    Example: b"a\\nb" gives b"TIME stdout F a\\nTIME stdout P b\\n". One pass of replace() for all: it must keep up.
    """
    head = f"{timestamp(time.time_ns())} {stream} ".encode()
    whole, newline, rest = data.rpartition(b"\n")
    lines = head + b"F " + whole.replace(b"\n", b"\n" + head + b"F ") + b"\n" if newline else b""
    return lines + (head + b"P " + rest + b"\n" if rest else b"")


# ---------------------------------------------------------------- reading


def files_of(path: str) -> list[str]:
    """The files of a log, the oldest first."""
    directory, name = os.path.split(path)
    endings = [other.removeprefix(f"{name}.") for other in os.listdir(directory) if other.startswith(f"{name}.")]
    numbers = [int(ending) for ending in endings if ending.isdigit()]
    return [f"{path}.{number}" for number in sorted(numbers, reverse=True)] + [path]


def read(path: str) -> Iterator[bytes]:
    """The lines of a log, as they are in its files."""
    for name in files_of(path):
        try:
            with open(name, "rb") as file:
                yield from file
        except FileNotFoundError:  # the container has not printed anything; or it was rotated away
            continue


def rest_a_moment() -> None:
    """What followers of a log do while there is nothing new."""
    time.sleep(0.02)


def follow(path: str, ended: Callable[[], bool], pause: Callable[[], object] = rest_a_moment) -> Iterator[bytes]:
    """The lines of a log, and those that come, until ended() is true and all is read. Rotation is noticed.

    pause: called when there is nothing new; it returns after a moment.
    """
    yield from _before(path)
    file = None
    try:
        while True:
            last = ended()  # asked before we read: what is printed until then is in the file
            file = file or _try_open(path)
            if file is not None:
                yield from _complete_lines(file)
                if _is_rotated(file, path):
                    yield from _complete_lines(file)
                    file.close()
                    file = None
                    continue
            if last:
                return
            pause()
    finally:
        if file is not None:
            file.close()


def _before(path: str) -> Iterator[bytes]:
    for name in files_of(path)[:-1]:
        with open(name, "rb") as file:
            yield from file


def _try_open(path: str) -> IO[bytes] | None:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        return None


def _complete_lines(file: IO[bytes]) -> Iterator[bytes]:
    while True:
        start = file.tell()
        line = file.readline()
        if not line.endswith(b"\n"):  # its writer is not done with it
            file.seek(start)
            return
        yield line


def _is_rotated(file: IO[bytes], path: str) -> bool:
    try:
        return os.stat(path).st_ino != os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return True


def tail(lines: Iterator[bytes], count: int) -> list[bytes]:
    """The last `count` lines that the container printed; a line in several pieces counts as one."""
    kept: list[list[bytes]] = [[]]
    for line in lines:
        kept[-1].append(line)
        if _tag(line) == b"F":
            kept.append([])
            if len(kept) > count + 1:
                kept.pop(0)
    pieces = kept if kept[-1] else kept[:-1]
    return [line for pieces_of_one in (pieces[-count:] if count else []) for line in pieces_of_one]


def _tag(line: bytes) -> bytes:
    return line.split(b" ", 3)[2]


def parse(line: bytes) -> tuple[str, str, bytes]:
    """(time, stream, what was printed, with its newline if it had one). Raises EngineError for a damaged line."""
    moment, _, rest = line.partition(b" ")
    stream, _, rest = rest.partition(b" ")
    tag, space, text = rest.partition(b" ")
    name = stream.decode(errors="replace")
    if not space or name not in STREAMS:
        raise EngineError("log", "it has a damaged line", repr(line[:60]))
    return moment.decode(), name, text if tag == b"F" else text[:-1]


def tail_and_follow(path: str, count: int, ended: Callable[[], bool]) -> Iterator[bytes]:
    """The last lines of a log, and those that come."""
    known = list(read(path))
    yield from tail(iter(known), count)
    for number, line in enumerate(follow(path, ended)):
        if number >= len(known):
            yield line
