"""What the user reads when something goes wrong: one line, whatever it was."""

from __future__ import annotations

import errno
import os

import pytest

from ch02_namespaces.errors import ENGINE_FAILED, EngineError, SyscallError, report

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
TOLD = [
    (EngineError("a", "b", "c"), "a: b (c)"),
    (EngineError("two\nlines", "and \x1b[31mcolour"), r"two lines: and \x1b[31mcolour"),
    (SyscallError("mount('x')", errno.EPERM), "mount('x'): Operation not permitted [EPERM]"),
    (FileNotFoundError(errno.ENOENT, "No such file", "/x"), "/x: No such file [ENOENT]"),
    (OSError(errno.EXDEV, "Other device", "/x", None, "/y"), "/x: /y: Other device [EXDEV]"),
    (OSError(errno.EIO, "Bad", b"/\xff"), "/\\udcff: Bad [EIO]"),
    (FULL, "No space left on device [ENOSPC] (the disk is full)"),
    (TimeoutError("timed out"), "timed out"),
    (ValueError("odd"), "ValueError: odd"),
]


@pytest.mark.parametrize(("error", "line"), TOLD, ids=[type(error).__name__ for error, _ in TOLD])
def test_one_line(capfd: pytest.CaptureFixture[str], error: Exception, line: str) -> None:
    assert report(error) == ENGINE_FAILED
    assert capfd.readouterr() == ("", f"mydocker: {line}\n")


def test_a_reader_that_has_left_is_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert report(BrokenPipeError(errno.EPIPE, "Broken pipe")) == 141
    assert capfd.readouterr() == ("", "")
