"""Commands that speak with a registry. Each imports what it needs when it is used."""

from __future__ import annotations

import sys

from ch02_namespaces.command_line import CliCommand, Flag, Group, Options
from ch02_namespaces.errors import EngineError
from ch04_images import state
from ch04_images.image_commands import clean_up_when_interrupted
from final.output import without_controls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch02_namespaces.command_line import Commands
    from final.images.credentials import Credentials

QUIET = Flag("-q", "--quiet", help="say only what has come of it")
PLATFORM = Flag("--platform", value="OS/ARCHITECTURE", help="what it is to be for (default: this machine)")
ALL_TAGS = Flag("-a", "--all-tags", help="all tags of the repository")


def pull_image(options: Options) -> int:
    """`pull`: bring an image from its registry."""
    from final.images import platform, reference
    from final.images.progress import Progress
    from final.images.pull import every_tag, pull

    state.require_root()
    clean_up_when_interrupted()
    wanted = platform.parse(options.platform) if options.platform else None
    found = reference.parse(options.operands[0])
    with Progress(options.quiet) as progress:
        for one in every_tag(found) if options.all_tags else [found]:
            pull(one, wanted, progress)
    print(found.repository if options.all_tags else found)
    return 0


def push_image(options: Options) -> int:
    """`push`: bring an image to its registry."""
    from ch04_images.image_names import split_name
    from final.images import reference, store
    from final.images.progress import Progress
    from final.images.push import push

    state.require_root()
    clean_up_when_interrupted()
    target = reference.parse(options.operands[0])
    targets = [target]
    if options.all_tags:
        names = [image.name for image in store.every() if split_name(image.name)[0] == target.short_repository]
        targets = [reference.parse(name) for name in names if "@" not in name]
    with Progress(options.quiet) as progress:
        for one in targets:
            push(one, progress)
    if options.quiet:
        print(*targets, sep="\n")
    return 0


def login(options: Options) -> int:
    """`login`: see whether a registry knows us by user and password, and keep them for next time."""
    from final.images import credentials, registries
    from final.images.reference import ALIASES, DEFAULT_HOST
    from final.images.registry import Registry

    host = _host(options, DEFAULT_HOST, ALIASES)
    given = _asked(options)
    token = Registry(registries.endpoints(host)[-1], "", "", given).check_login()
    where = credentials.keep(host, credentials.Credentials(given.user, given.password, token))
    print(f"Login Succeeded (kept in {where})")
    return 0


def _asked(options: Options) -> Credentials:
    """User and password, from the flags, from standard input, or asked for on the terminal. Raises EngineError."""
    import getpass

    from final.images.credentials import Credentials

    if options.password and options.password_stdin:
        raise EngineError("--password-stdin", "with --password there are two of them")
    if not options.username and (options.password_stdin or not sys.stdin.isatty()):
        raise EngineError("login", "there is no user", "-u USER --password-stdin")
    try:
        user = options.username or input("Username: ").strip()
        password = options.password
        if options.password_stdin:
            password = sys.stdin.read().rstrip("\r\n")
        elif password is None:
            if not sys.stdin.isatty():
                raise EngineError("login", "there is no password", "--password-stdin")
            password = getpass.getpass("Password: ")
    except EOFError:
        raise EngineError("login", "the input has ended") from None
    if not user or not password or ":" in user:
        raise EngineError("login", "user or password is empty, or the user has a colon")
    return Credentials(user, password)


def logout(options: Options) -> int:
    """`logout`: forget who we are to a registry."""
    from final.images import credentials
    from final.images.reference import ALIASES, DEFAULT_HOST

    host = _host(options, DEFAULT_HOST, ALIASES)
    known = credentials.forget(host)
    print(f"Removing login credentials for {host}" if known else f"Not logged in to {host}")
    return 0


def _host(options: Options, default: str, aliases: dict[str, str]) -> str:
    """The registry of an operand, as images have it. Raises EngineError."""
    from final.images import reference

    text = options.operands[0] if options.operands else default
    host = text.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return aliases.get(host, reference.parse(f"{host}/x").host if host != default else default)


def inspect_manifest(options: Options) -> int:
    """`manifest inspect`: what a registry has under a name, as it has it."""
    from final.images import reference, registries
    from final.images.documents import parse_manifest
    from final.images.registry import Registry

    found = reference.parse(options.operands[0])
    registry = Registry(registries.endpoints(found.host)[-1], found.path)
    data, media_type, digest = registry.manifest(found.target)
    parse_manifest(f"image {found}", data, media_type)
    if options.verbose:
        print(f"{found.repository}@{digest}", file=sys.stderr)
    print(without_controls(data.decode(errors="replace").rstrip("\n")))
    return 0


COMMANDS = {
    "pull": CliCommand("Bring an image from its registry.", [PLATFORM, QUIET, ALL_TAGS], "IMAGE", pull_image),
    "push": CliCommand("Bring an image to its registry.", [QUIET, ALL_TAGS], "IMAGE", push_image),
    "login": CliCommand(
        "Tell a registry who you are, and keep it.",
        [
            Flag("-u", "--username", value="USER", help="the user"),
            Flag("-p", "--password", value="PASSWORD", help="the password; all users of this machine can see it"),
            Flag("--password-stdin", help="read the password from standard input"),
        ],
        "[REGISTRY]",
        login,
    ),
    "logout": CliCommand("Forget who you are to a registry.", [], "[REGISTRY]", logout),
    "manifest": Group("Manifests in registries: inspect.", lambda: MANIFEST_COMMANDS),
}
MANIFEST_COMMANDS: Commands = {
    "inspect": CliCommand(
        "What a registry has under a name.",
        [Flag("-v", "--verbose", help="also its digest, on standard error")],
        "IMAGE",
        inspect_manifest,
    ),
}
