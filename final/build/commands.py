"""`build`, and `builder prune`: the command line."""

from __future__ import annotations

import os

from ch02_namespaces.command_line import CliCommand, Flag, Group, Options
from ch02_namespaces.errors import EngineError
from ch04_images import images, state
from ch04_images.image_commands import clean_up_when_interrupted
from ch05_lifecycle import store as containers
from final.agreed import agreed
from final.build import cache, secrets
from final.build.running import OF_RUN
from final.engine import events
from final.engine.options import key_value, label, one_of
from final.engine.pruning import FORCE
from final.images import platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from final.build.built import Wishes
    from final.images.platform import Platform


def argument(text: str) -> list[str]:
    """For Flag.convert: NAME=VALUE, or NAME for the value that the variable has here. Raises EngineError."""
    return key_value(text if "=" in text or text not in os.environ else f"{text}={os.environ[text]}")


def agent(text: str) -> tuple[str, str]:
    """For Flag.convert: ID[=SOCKET]. Raises EngineError."""
    from final.build import ssh_agent  # it needs sockets: 5 ms

    return ssh_agent.agent(text)


def name(text: str) -> str:
    """For Flag.convert: the name that an image gets in the store. Raises EngineError."""
    from final.images import reference

    found = reference.parse(text)
    if found.digest:
        raise EngineError(repr(text), "it has a digest", "NAME:TAG")
    return found.name


def build_image(options: Options) -> int:
    """`build`: print the steps, or with -q the id."""
    from final.build.building import Build
    from final.build.context import context_of
    from final.build.dockerfile import parse
    from final.build.output import Output
    from final.build.stages import Plan
    from final.build.union import leave_mounts_of_host
    from final.images import store
    from final.images.addition import Addition

    state.require_root()
    clean_up_when_interrupted()
    id_file = os.path.abspath(options.iidfile) if options.iidfile else ""
    containers.sweep()  # what a killed build has left
    store.settle()
    with Addition() as addition:
        scratch = f"{addition.directory}/context"
        os.mkdir(scratch, 0o755)
        with context_of(options.operands[0], options.file, scratch) as context:
            wishes = wishes_of(options)
            instructions = parse(context.dockerfile, context.name)
            plan = Plan(instructions, context.name, wishes.arguments, automatic(wishes.platform))
            leave_mounts_of_host()
            output = Output(options.progress or "auto", options.quiet)
            id = Build(plan, context, wishes, addition, output).run(options.target or "", options.tag)
    store.settle()
    if id_file:
        _write_whole(id_file, id)
    for tag in options.tag:
        events.record("image", "tag", id, {"name": tag})
    output.end(id, options.tag)
    return 0


def wishes_of(options: Options) -> Wishes:
    """What the flags say."""
    from final.build.built import Wishes

    wanted = options.platform or platform.of_machine()

    def bring(text: str, of_stage: str) -> images.Image:
        from final.engine import image_wanted

        policy = image_wanted.ALWAYS if options.pull else image_wanted.MISSING
        said = of_stage or (str(options.platform) if options.platform else "")
        found = image_wanted.name_of(text, policy, said or None, options.quiet)
        clean_up_when_interrupted()  # a pull leaves the signals as it likes them
        return images.find(found)

    return Wishes(
        dict(options.build_arg),
        dict(options.label),
        options.network or "",
        not options.no_cache,
        wanted,
        bring,
        {one.id: one for one in options.secret},
        dict(options.ssh),
        {flag.option: getattr(options, flag.option) for flag in OF_RUN},
    )


def automatic(target: Platform) -> dict[str, str]:
    """The arguments that tell a Dockerfile of platforms: "Dockerfile reference", "Automatic platform ARGs"."""
    found: dict[str, str] = {}
    for prefix, one in (("BUILD", platform.of_machine()), ("TARGET", target)):
        found |= {
            f"{prefix}PLATFORM": str(one),
            f"{prefix}OS": one.os,
            f"{prefix}ARCH": one.architecture,
            f"{prefix}VARIANT": one.variant,
        }
    return found


def _write_whole(path: str, text: str) -> None:
    """A file that is there with all that it says, or not at all. Raises EngineError."""
    temporary = f"{path}.{os.getpid()}.new"
    try:
        with open(temporary, "w", encoding="ascii") as file:
            file.write(text)
        os.rename(temporary, path)
    except OSError as error:
        raise EngineError(f"--iidfile {path}", str(error.strerror)) from None


def prune_cache(options: Options) -> int:
    """`builder prune`: forget all steps that have been done."""
    from final.engine.usage import tree_bytes
    from final.engine.words import print_reclaimed

    state.require_root()
    if not options.force and not agreed("This will remove all build cache."):
        return 0
    directories = [place for place in (state.place("layers"), state.place(cache.DIRECTORY)) if os.path.isdir(place)]
    before = sum(map(tree_bytes, directories))
    gone = cache.prune()
    if gone:
        print("Deleted build cache objects:", *gone, "", sep="\n")
    print_reclaimed(before - sum(tree_bytes(place) for place in directories if os.path.isdir(place)))
    return 0


BUILD = CliCommand(
    "Make an image by a Dockerfile.",
    [
        Flag("-t", "--tag", value="NAME[:TAG]", convert=name, many=True, help="what the image is called"),
        Flag("-f", "--file", value="FILE", help="the Dockerfile (default: PATH/Dockerfile); - is standard input"),
        Flag("--target", value="STAGE", help="build this stage, and what it needs"),
        Flag("--build-arg", value="NAME[=VALUE]", convert=argument, many=True, help="the value of an ARG"),
        Flag("--label", value="NAME[=VALUE]", convert=label, many=True, help="a label of the image"),
        Flag("--no-cache", help="do each step, also if it has been done before"),
        Flag("--pull", help="pull the images of FROM, also if they are here"),
        Flag("--platform", value="OS/ARCHITECTURE", convert=platform.parse, help="what the image is for"),
        Flag("--network", value="NETWORK", help="of RUN: none, host or a name (default: as with `run`)"),
        Flag("--secret", value=secrets.SYNTAX, convert=secrets.secret, many=True, help="for RUN --mount=type=secret"),
        Flag("--ssh", value="ID[=SOCKET]", convert=agent, many=True, help="an agent for RUN --mount=type=ssh"),
        *OF_RUN,
        Flag("--progress", value="auto|plain", convert=one_of("auto", "plain"), help="plain: as in a pipe"),
        Flag("-q", "--quiet", help="print the id alone"),
        Flag("--iidfile", value="FILE", help="write the id there"),
        Flag("--cache-from", value="IMAGE", many=True, help="it changes nothing: what this machine has done counts"),
        Flag("--compress", help="it changes nothing: the context goes nowhere"),
        Flag("--rm", help="it changes nothing: no step leaves a container"),
        Flag("--force-rm", help="the same"),
    ],
    "PATH",
    build_image,
)
PRUNE = CliCommand(
    "Forget all steps that have been done.", [FORCE, Flag("-a", "--all", help="all: always so")], "", prune_cache
)
BUILDER_COMMANDS = {"prune": PRUNE, "build": BUILD}
COMMANDS = {
    "build": BUILD,
    "builder": Group("The builder: build, prune.", lambda: BUILDER_COMMANDS),
}
