"""`union …`: union file systems by hand. Book section 2.3."""

from __future__ import annotations

from ch02_namespaces import syscalls, unionfs
from ch02_namespaces.command_line import CliCommand, Flag, Options
from ch02_namespaces.errors import EngineError
from ch02_namespaces.output import FORMAT, print_table


def mount_overlay(options: Options) -> int:
    """`union overlay`: several directories as one, by the kernel's overlayfs. Section 2.3.1."""
    if (options.upper is None) != (options.work is None):
        raise EngineError(
            "union overlay", "--upper and --work belong together", "work: an empty directory beside upper"
        )
    unionfs.mount_overlay(options.lower, options.operands[0], options.upper, options.work)
    return 0


def mount_aufs(options: Options) -> int:
    """`union aufs`: the same by our own file system, with the options of AUFS. Section 2.3.4."""
    from ch02_namespaces import aufs

    if options.options is None:
        raise EngineError("union aufs", "it needs its branches", "-o br:upper=rw:lower=ro")
    aufs.mount(options.options, options.operands[0])
    return 0


def show_layer(options: Options) -> int:
    """`union show LAYER`: what a layer does to those below it. Section 2.3.3."""
    rows = [{"effect": effect, "name": name} for name, effect in unionfs.show_layer(options.operands[0])]
    print_table(rows, options.format)
    return 0


def unmount(options: Options) -> int:
    """`union umount TARGET`: detach a union, ours or the kernel's."""
    syscalls.umount(options.operands[0])
    return 0


UNION_COMMANDS = {
    "overlay": CliCommand(
        "2.3.1 Mount several directories as one.",
        [
            Flag("--lower", value="DIR", many=True, help="a read-only layer, uppermost first; may be given again"),
            Flag("--upper", value="DIR", help="the layer that takes the changes"),
            Flag("--work", value="DIR", help="an empty directory that the kernel needs, on the same disk as upper"),
        ],
        "TARGET",
        mount_overlay,
    ),
    "aufs": CliCommand(
        "2.3.4 The same by our own file system.",
        [Flag("-o", "--options", value="OPTIONS", help="AUFS' own: br:upper=rw:lower=ro")],
        "TARGET",
        mount_aufs,
    ),
    "show": CliCommand("2.3.3 What a layer does to those below it.", [FORMAT], "LAYER", show_layer),
    "umount": CliCommand("Unmount one of them.", [], "TARGET", unmount),
}
