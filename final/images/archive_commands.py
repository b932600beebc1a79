"""Commands for images in files: save, load, import. Each imports what it needs when it is used."""

from __future__ import annotations

import os
import sys

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch02_namespaces.errors import EngineError
from ch04_images import state
from ch04_images.image_commands import Progress, check_root, clean_up_when_interrupted, opened, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO


def archive_format(text: str) -> str:
    """For Flag.convert. Raises EngineError."""
    if text not in ("docker-archive", "oci-archive"):
        raise EngineError(text, "there is no such format", "docker-archive or oci-archive")
    return text


def save_images(options: Options) -> int:
    """`save`: images into one archive."""
    from final.images.archives import save

    state.require_root()
    clean_up_when_interrupted()
    write_whole(options.output, lambda sink: save(options.operands, sink, options.format or "docker-archive"))
    return 0


def write_whole(path: str | None, write: Callable[[IO[bytes]], None]) -> None:
    """Write a file that is there only when it is whole; or standard output. Raises EngineError."""
    if path is None:
        if os.isatty(1):
            raise EngineError("standard output", "it is a terminal", "-o FILE, or a pipe")
        with os.fdopen(os.dup(1), "wb") as sink:
            write(sink)
        return
    target = os.path.realpath(path)
    if os.path.lexists(target) and not os.path.isfile(target):
        raise EngineError(path, "it is no regular file", "to a device or a FIFO: > FILE")
    temporary = f"{target}.{os.getpid()}.new"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as sink:
            write(sink)
        os.rename(temporary, target)
    except OSError as error:
        raise EngineError(path, str(error.strerror)) from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def load_images(options: Options) -> int:
    """`load`: the images of an archive."""
    from final.images.archives import load, shown

    state.require_root()
    clean_up_when_interrupted()
    if options.input is None and sys.stdin.isatty():
        raise EngineError("standard input", "it is a terminal", "-i FILE, or a pipe")
    with opened(options.input or "-") as source, Progress("load", size_of(source)) as progress:
        names = load(source, progress.update)
    for name in names:
        print(name if options.quiet else shown(name))
    return 0


def import_image(options: Options) -> int:
    """`import FILE|- [NAME]`, as Docker has it, or `import NAME FILE|-`, as chapter 4 does."""
    from final.images import reference
    from final.images.importing import import_archive

    state.require_root()
    clean_up_when_interrupted()
    path, name, is_chapter4 = _operands(options.operands)
    full = reference.parse(name).name if name or is_chapter4 else ""
    with opened(path) as source, Progress("import", size_of(source)) as progress:
        id = import_archive(
            source,
            full,
            check_root,
            change=options.change,
            comment=options.message or "",
            progress=progress.update,
        )
    print(full if is_chapter4 else id)
    return 0


def _operands(words: list[str]) -> tuple[str, str, bool]:
    """The file and the name, and whether the name came first. What is a file, or `-`, is no name."""
    if len(words) == 1:
        return words[0], "", False
    first_is_file = words[0] == "-" or os.path.exists(words[0])
    if first_is_file and not (words[1] == "-" or os.path.exists(words[1])):
        return words[0], words[1], False
    return words[1], words[0], True


COMMANDS = {
    "save": CliCommand(
        "Write images into one archive.",
        [
            Flag("-o", "--output", value="FILE", help="where to (default: standard output)"),
            Flag("--format", value="FORMAT", convert=archive_format, help="docker-archive (default) or oci-archive"),
        ],
        "IMAGE ...",
        save_images,
    ),
    "load": CliCommand(
        "Bring the images of an archive here.",
        [
            Flag("-i", "--input", value="FILE", help="where from (default: standard input)"),
            Flag("-q", "--quiet", help="names alone"),
        ],
        "",
        load_images,
    ),
    "import": CliCommand(
        "Make an image of an archive of a root file system.",
        [
            Flag(
                "-c", "--change", value="INSTRUCTION", many=True, help="how it is run, as in a Dockerfile: CMD, ENV, …"
            ),
            Flag("-m", "--message", value="TEXT", help="a comment for its history"),
        ],
        "FILE [NAME]",
        import_image,
    ),
}
