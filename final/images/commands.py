"""Commands for images in the store. Each imports what it needs when it is used."""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Flag, Group, Options
from ch02_namespaces.errors import EngineError, MissingError, warn
from ch04_images import state
from ch04_images.image_commands import for_each
from final.agreed import agreed
from final.images.archive_commands import COMMANDS as ARCHIVE_COMMANDS
from final.images.registry_commands import COMMANDS as REGISTRY_COMMANDS
from final.inspected import inspect_each
from final.output import FORMAT, LIST_FORMAT, print_rows

QUIET = Flag("-q", "--quiet", help="ids alone")
NO_TRUNC = Flag("--no-trunc", help="all of each field")
FORCE = Flag("-f", "--force", help="also what has several names, or containers on it")
FILTER = Flag(
    "-f", "--filter", value="KEY=VALUE", many=True, help="only those: dangling, reference, label, before, since"
)


def list_images(options: Options) -> int:
    """`images`: all of them, or those of a name."""
    from final.images import listing, store

    state.require_root()
    name = options.operands[0] if options.operands else ""
    rows = listing.image_rows(listing.select(store.every(), name, options.filter), options.no_trunc)
    if options.quiet:
        for id in dict.fromkeys(row["ID"] for row in rows):
            print(id)
        return 0
    digest = ["Digest"] if options.digests else []
    print_rows(rows, listing.IMAGES, ["Repository", "Tag", *digest, "ID", "CreatedSince", "Size"], options.format)
    return 0


def tag_image(options: Options) -> int:
    """`tag`: give an image one more name."""
    from final.images import reference, store

    state.require_root()
    source, name = options.operands
    target = reference.parse(name)
    if target.digest:
        raise EngineError(f"image name {name!r}", "a tag is what is given, not a digest", "NAME:TAG")
    store.tag(store.find(source), target.name)
    return 0


def remove_images(options: Options) -> int:
    """`rmi`: take names from images, and remove those that have none left."""
    from final.images import removal

    state.require_root()

    def remove(text: str) -> None:
        try:
            for line in removal.remove(text, options.force):
                print(line)
        except MissingError as error:
            if not options.force:
                raise
            warn(str(error))

    for_each(options.operands, remove)
    return 0


def prune_images(options: Options) -> int:
    """`image prune`: remove images that have no name, or all on which no container stands."""
    from final.engine.pruning import filter_of
    from final.images import removal
    from final.images.listing import decimal_size

    state.require_root()
    may_go = filter_of(options.filter)
    what = "all images without a container" if options.all else "all images without a name"
    if not options.force and not agreed(f"This will remove {what}."):
        return 0
    before = _used_bytes()
    lines = removal.prune(options.all, may_go)
    if lines:
        print("Deleted Images:", *lines, "", sep="\n")
    print(f"Total reclaimed space: {decimal_size(max(0, _used_bytes() - before))}")
    return 0


def _used_bytes() -> int:
    """Free bytes of the file system that the store is on."""
    import os

    found = os.statvfs(state.make_place("images"))
    return found.f_bfree * found.f_frsize


def show_history(options: Options) -> int:
    """`history`: how an image was made."""
    from final.images import listing, store

    state.require_root()
    rows = listing.history_rows(store.find(options.operands[0]), options.no_trunc, options.human != "false")
    if options.quiet:
        for row in rows:
            print(row["ID"])
        return 0
    columns = ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"]
    print_rows(rows, listing.HISTORY, columns, options.format)
    return 0


def inspect_images(options: Options) -> int:
    """`image inspect`: all that is known of images, as JSON or by a template."""
    from final.images import listing, store

    state.require_root()
    return inspect_each(options.operands, lambda text: listing.inspected(store.find(text)), options.format)


LIST = CliCommand(
    "List the images.",
    [
        QUIET,
        NO_TRUNC,
        Flag("-a", "--all", help="all: there are no hidden ones"),
        Flag("--digests", help="also the digests by which registries know them"),
        FILTER,
        LIST_FORMAT,
    ],
    "[NAME]",
    list_images,
)
REMOVE = CliCommand("Remove images.", [FORCE, Flag("--no-prune", help="nothing changes")], "IMAGE ...", remove_images)
TAG = CliCommand("Give an image one more name.", [], "IMAGE NAME", tag_image)
HISTORY = CliCommand(
    "How an image was made.",
    [QUIET, NO_TRUNC, LIST_FORMAT, Flag("-H", "--human", value="BOOL", help="=false: sizes in bytes")],
    "IMAGE",
    show_history,
)
COMMANDS = {
    **REGISTRY_COMMANDS,
    **ARCHIVE_COMMANDS,
    "images": LIST,
    "tag": TAG,
    "rmi": REMOVE,
    "history": HISTORY,
    "image": Group("Images: ls, inspect, prune, …", lambda: IMAGE_COMMANDS),
}
IMAGE_COMMANDS: dict[str, CliCommand] = {
    "ls": LIST,
    "inspect": CliCommand("All that is known of images.", [FORMAT], "IMAGE ...", inspect_images),
    "prune": CliCommand(
        "Remove images that nobody needs.",
        [
            Flag("-a", "--all", help="also those with a name on which no container stands"),
            Flag("-f", "--force", help="do not ask"),
            Flag("--filter", value="KEY=VALUE", many=True, help="only those: until=TIME, label=KEY[=VALUE], label!=…"),
        ],
        "",
        prune_images,
    ),
    "rm": REMOVE,
    "tag": TAG,
    "history": HISTORY,
    **{name: command for name, command in COMMANDS.items() if name in ("pull", "push", "save", "load", "import")},
}
