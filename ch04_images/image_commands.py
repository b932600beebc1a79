"""Commands for images, and for what ended containers leave. Each imports what it needs when it is used."""

from __future__ import annotations

import os
import sys

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch02_namespaces.errors import EngineError
from ch02_namespaces.output import FORMAT, print_table
from ch04_images import containers, images, state
from ch04_images.image_names import full_name, split_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO


def make_busybox(options: Options) -> int:
    """`busybox`: make the image of that name from this machine's own program."""
    from ch04_images import busybox

    state.require_root()
    print(busybox.make_image().name)
    return 0


def import_image(options: Options) -> int:
    """`import NAME TARBALL|-`: make an image of one layer from an archive of a root file system."""
    from ch04_images.unpack import unpack

    state.require_root()
    clean_up_when_interrupted()
    name, path = options.operands
    if os.path.isfile(name) and not os.path.exists(path):
        raise EngineError("import", f"{name!r} is a file", "the name comes first: import NAME FILE")
    full_name(name)  # before hours of download are read
    with opened(path) as source, Progress("import", size_of(source)) as progress:

        def fill(layer: str) -> int:
            size = unpack(source, layer, progress=progress.update)
            check_root(layer)
            return size

        image = images.create(name, fill)
    print(image.name)
    return 0


def check_root(directory: str) -> None:
    """Raise EngineError for what `docker save` writes: layers in an archive, and no root file system."""
    if os.path.exists(f"{directory}/manifest.json") and not os.path.isdir(f"{directory}/etc"):
        hint = "`docker export CONTAINER` writes a root file system"
        raise EngineError("import", "this archive holds an image in layers, as of `docker save`", hint)


def opened(path: str) -> IO[bytes]:
    """An archive to read; `-` is standard input. Unbuffered: it is read in large pieces."""
    if path == "-":
        os.set_blocking(0, True)  # whoever gave us the pipe may have left it otherwise
        return os.fdopen(os.dup(0), "rb", 0)
    try:
        return open(path, "rb", 0)
    except OSError as error:
        raise EngineError(path, str(error.strerror)) from None


def size_of(source: IO[bytes]) -> int | None:
    """The size of a regular file; None for a pipe."""
    return os.fstat(source.fileno()).st_size or None


def clean_up_when_interrupted() -> None:
    """Let Ctrl-C and SIGTERM raise KeyboardInterrupt, so that what is half-made is removed and the cursor is shown."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


class Progress:
    """A bar on the terminal, if standard error is one; else nothing."""

    def __init__(self, what: str, total: int | None) -> None:
        self.update = lambda count: None
        self._bar = None
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        bar = self._bar = Progress(what, *columns, console=Console(stderr=True), transient=True)
        task = bar.add_task(what, total=total)
        self.update = lambda count: bar.update(task, completed=count)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def list_images(options: Options) -> int:
    """`images`: all of them."""
    state.require_root()
    import time

    from ch02_namespaces.limits import format_size

    rows = []
    for image in images.every():
        name, tag = split_name(image.name)
        created = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(image.created))
        row = {"name": name, "tag": tag, "layers": len(image.layers), "size": image.size, "created": created}
        if options.format != "json":
            row["size"] = format_size(image.size)
        rows.append(row)
    print_table(rows, options.format)
    return 0


def remove_images(options: Options) -> int:
    """`rmi`: remove images, each unless a container stands on it."""
    state.require_root()
    for_each(options.operands, remove_image)
    return 0


def remove_image(name: str) -> None:
    """Remove one. Raises EngineError."""
    images.remove(name)
    print(full_name(name))


def commit_container(options: Options) -> int:
    """`commit`: a container's changes become the top layer of a new image."""
    from ch04_images.commit import commit

    state.require_root()
    clean_up_when_interrupted()
    container, name = options.operands
    print(commit(container, name).name)
    return 0


def export_container(options: Options) -> int:
    """`export`: all files of a container as a tar archive."""
    from ch04_images.commit import export

    state.require_root()
    clean_up_when_interrupted()
    if options.output is None:
        return export_to_standard_output(options.operands[0])
    target = os.path.realpath(options.output)
    if os.path.lexists(target) and not os.path.isfile(target):
        raise EngineError(options.output, "it is no regular file", "to a device or a FIFO: export CONTAINER > FILE")
    temporary = f"{target}.{os.getpid()}.new"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as sink:
            export(options.operands[0], sink)
        os.rename(temporary, target)
    except OSError as error:
        raise EngineError(f"export to {options.output}", str(error.strerror)) from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    return 0


def export_to_standard_output(container: str) -> int:
    """The archive for a pipe, or a file that the shell has opened. Raises EngineError for a terminal."""
    from ch04_images.commit import export

    if os.isatty(1):
        raise EngineError("export", "standard output is a terminal", "-o FILE, or a pipe")
    try:
        with os.fdopen(os.dup(1), "wb") as sink:
            export(container, sink)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise EngineError("export to standard output", str(error.strerror)) from None
    return 0


def remove_containers(options: Options) -> int:
    """`rm`: remove what ended containers have changed."""
    state.require_root()
    for_each(options.operands, remove_container)
    return 0


def remove_container(text: str) -> None:
    """Remove one, also if its record is damaged. Raises EngineError."""
    id = containers.find_id(text)
    if not containers.remove(containers.ContainerRecord(id, "", [], "", 0)):
        raise EngineError(f"container {state.short(id)}", "it is in use", "does it still run?")
    print(text)


def for_each(operands: list[str], action: Callable[[str], None]) -> None:
    """Do something to each operand, also when it fails for some of them. Raises one EngineError for all of these."""
    failures = []
    for operand in operands:
        try:
            action(operand)
        except EngineError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise EngineError(f"{len(failures)} of {len(operands)}", "; ".join(map(str, failures)))


COMMANDS = {
    "busybox": CliCommand("Make the image busybox from this machine's own.", [], "", make_busybox),
    "import": CliCommand("Make an image from a tar archive.", [], "NAME TARBALL", import_image),
    "images": CliCommand("List the images.", [FORMAT], "", list_images),
    "rmi": CliCommand("Remove images.", [], "IMAGE ...", remove_images),
    "commit": CliCommand("Make an image of what a container changed.", [], "CONTAINER IMAGE", commit_container),
    "export": CliCommand(
        "Write all files of a container as a tar archive.",
        [Flag("-o", "--output", value="FILE", help="where to (default: standard output)")],
        "CONTAINER",
        export_container,
    ),
    "rm": CliCommand("Remove what ended containers have changed.", [], "CONTAINER ...", remove_containers),
}
