"""Chapter 4's composition root: `run` gets an image, and there are commands for images."""

from __future__ import annotations

import sys

from ch02_namespaces.command_line import CliCommand, Flag, Options, leave
from ch02_namespaces.command_line import main as run_command_line
from ch02_namespaces.errors import EngineError
from ch03_run.cli import RUN_FLAGS, limits_of, run_in_foreground
from ch03_run.command import Command, environment
from ch03_run.container import Container, Part
from ch03_run.foreground import Foreground
from ch03_run.isolation import DieWithEngine, Hostname, IpcNamespace, MountNamespace, NetworkNamespace, PidNamespace
from ch03_run.resources import Resources
from ch03_run.terminal import Streams, Terminal
from ch04_images import images, state
from ch04_images.filesystems import CgroupFilesystem, CgroupNamespace, Devices, KernelFilesystems
from ch04_images.image_commands import COMMANDS as IMAGE_COMMANDS
from ch04_images.rootfs import DRIVERS, ContainerDirectory, PivotRoot, ReadOnlyRoot
from ch04_images.user import User, WorkingDirectory
from ch04_images.volumes import Volumes, parse_volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch04_images.images import Image


def driver_name(text: str) -> str:
    """For Flag.convert. Raises EngineError."""
    if text not in DRIVERS:
        raise EngineError(text, "there is no such storage driver", f"there are {' and '.join(DRIVERS)}")
    return text


IMAGE_FLAGS = [
    *RUN_FLAGS,
    Flag("-v", "--volume", value="SOURCE:TARGET[:ro]", convert=parse_volume, many=True, help="bind a host directory"),
    Flag("-w", "--workdir", value="DIRECTORY", help="where the command starts"),
    Flag("-u", "--user", value="USER[:GROUP]", help="who the command is; names are those of the image"),
    Flag("--read-only", help="the root file system cannot be changed"),
    Flag("--rm", help="remove what the container changed when it ends"),
    Flag("--storage-driver", value="overlay|aufs", convert=driver_name, help="what makes the union (default: overlay)"),
]


def command_of(image: Image, options: Options) -> Command:
    """The command from the command line, or the image's. Raises EngineError when there is neither."""
    argv = options.operands[1:] or image.config.get("Cmd") or []
    if not argv:
        raise EngineError(f"image {image.name}", "it names no command", "run IMAGE COMMAND")
    return Command(argv, environment([*environment_of(image), *options.env], terminal=options.tty))


def environment_of(image: Image) -> list[str]:
    """The variables that an image sets. One without a value would show it the host's, and is left out."""
    return [item for item in image.config.get("Env") or [] if "=" in item]


def streams_of(options: Options) -> Streams | Terminal:
    """The part for the standard streams that the flags ask for. Raises EngineError."""
    if not options.tty:
        return Streams(options.interactive)
    from ch04_images.console import Console

    return Console(options.interactive)


def parts_of(image: Image, options: Options, id: str, directory: ContainerDirectory, streams: Part) -> list[Part]:
    """What a container of chapter 4 consists of, in order."""
    return [
        Resources(limits_of(options)),
        MountNamespace(),
        PidNamespace(),
        Hostname(options.hostname or state.short(id)),
        IpcNamespace(),
        NetworkNamespace(),
        CgroupNamespace(),
        directory,
        DRIVERS[directory.driver](directory),
        PivotRoot(directory),
        KernelFilesystems(),
        Devices(),
        CgroupFilesystem(),
        Volumes(options.volume),
        WorkingDirectory(options.workdir or image.config.get("WorkingDir") or "/"),
        *([ReadOnlyRoot()] if options.read_only else []),
        streams,
        User(
            options.user or image.config.get("User") or "0",
            sets_home=not gives_home([*environment_of(image), *options.env]),
        ),
        DieWithEngine(),
    ]


def gives_home(variables: list[str]) -> bool:
    """Whether the image or the user has said what HOME is."""
    return any(item.partition("=")[0] == "HOME" for item in variables)


def run_command(options: Options) -> int:
    """`run`: a container on an image; the command's exit code."""
    state.require_root()
    image = images.find(options.operands[0])
    id = state.new_id()
    streams = streams_of(options)
    foreground = Foreground(streams)
    directory = ContainerDirectory(image, options.storage_driver or "overlay", temporary=options.rm)
    container = Container(id, command_of(image, options), parts_of(image, options, id, directory, streams))
    return run_in_foreground(container, foreground, options)


COMMANDS = {
    "run": CliCommand("Run a command in a new container.", IMAGE_FLAGS, "IMAGE [COMMAND ...]", run_command),
    **IMAGE_COMMANDS,
}


def main(arguments: list[str]) -> int:
    """Run a command line; the exit code."""
    return run_command_line(COMMANDS, arguments)


def entry_point() -> None:
    """The program: run the command line that we were started with, and end."""
    leave(main(sys.argv[1:]))
