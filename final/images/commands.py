"""Commands for images. Each imports what it needs when it is used."""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch04_images import state
from ch04_images.image_commands import clean_up_when_interrupted

QUIET = Flag("-q", "--quiet", help="say only what has come of it")
PLATFORM = Flag("--platform", value="OS/ARCHITECTURE", help="what it is to be for (default: this machine)")


def pull_image(options: Options) -> int:
    """`pull`: bring an image from its registry."""
    from final.images import platform, reference
    from final.images.progress import Progress
    from final.images.pull import pull

    state.require_root()
    clean_up_when_interrupted()
    wanted = platform.parse(options.platform) if options.platform else None
    found = reference.parse(options.operands[0])
    with Progress(options.quiet) as progress:
        pull(found, wanted, progress)
    print(found)
    return 0


COMMANDS = {
    "pull": CliCommand("Bring an image from its registry.", [PLATFORM, QUIET], "IMAGE", pull_image),
}
