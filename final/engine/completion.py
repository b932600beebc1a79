"""`completion bash | zsh | fish`: a script that completes commands, flags, and the names of what there is.

It is made of the tables of commands, so it knows what the command line knows: source <(mydocker completion bash).
"""

from __future__ import annotations

from ch02_namespaces.command_line import CliCommand, Group, Options, loaded
from ch02_namespaces.errors import EngineError
from final.engine.refused import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LISTS = {
    "CONTAINER": "mydocker ps -a --format '{{.Names}}'",
    "IMAGE": "mydocker images --format '{{.Repository}}:{{.Tag}}'",
    "NETWORK": "mydocker network ls --format '{{.Name}}'",
    "VOLUME": "mydocker volume ls -q",
}
"""By operand: what prints the names that it can be."""

BASH = """\
_mydocker() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} path= word found=
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in -*) continue ;; esac
        case " {paths} " in
            *" $path${{path:+/}}$word "*) path=$path${{path:+/}}$word ;;
        esac
    done
    case $path in
{cases}
    esac
    COMPREPLY=($(compgen -W "$found" -- "$current"))
    [ ${{#COMPREPLY[@]}} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
}}
complete -F _mydocker mydocker"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def print_script(options: Options) -> int:
    """`completion`: print it."""
    (shell,) = options.operands
    if shell not in SCRIPTS:
        raise EngineError(f"completion {shell}", "there is none for this shell", ", ".join(SCRIPTS))
    print(SCRIPTS[shell]())
    return 0


def every_command() -> Iterator[tuple[tuple[str, ...], CliCommand, list[str]]]:
    """(words, command, commands of its own) of all commands, those of groups as well."""
    from final.cli import COMMANDS as EVERY

    for name, one in EVERY.items():
        command = loaded(one)
        below = command.load() if isinstance(command, Group) else {}
        yield (name,), command, list(below)
        for word, inner in below.items():
            yield (name, word), loaded(inner), []


def flags_of(command: CliCommand) -> list[str]:
    """Its long flags, and short ones that have no long form."""
    flags = [flag for flag in command.flags if not isinstance(flag, Refused)]
    return [name for flag in flags for name in flag.names if name.startswith("--")]


def bash() -> str:
    """For bash(1), "Programmable Completion"."""
    known = list(every_command())
    top = " ".join(words[0] for words, _, _ in known if len(words) == 1)
    cases = [f'        "") found="{top} --help" ;;']
    for words, command, below in known:
        found = " ".join([*below, *flags_of(command), "--explain", "--help"])
        lists = "".join(f" $({LISTS[name]} 2>/dev/null)" for name in LISTS if name in command.operands)
        cases.append(f'        {"/".join(words)}) found="{found}"; found+="{lists}" ;;')
    return BASH.format(paths=" ".join("/".join(words) for words, _, _ in known), cases="\n".join(cases))


def zsh() -> str:
    """zsh takes bash's: zshcompsys(1), bashcompinit."""
    return ZSH + bash()


def fish() -> str:
    """For fish, `complete`."""
    lines = ["complete -c mydocker -f"]
    for words, command, below in every_command():
        *above, word = words
        inside = f"__fish_seen_subcommand_from {above[0]}" if above else "__fish_use_subcommand"
        lines.append(f"complete -c mydocker -n '{inside}' -a {word} -d '{_quoted(command.summary)}'")
        here = " ; and ".join(f"__fish_seen_subcommand_from {name}" for name in words)
        for flag in command.flags:
            spelled = [f"-l {name[2:]}" for name in flag.names if name.startswith("--")]
            spelled += [f"-s {name[1:]}" for name in flag.names if len(name) == 2]
            takes = " -r" if flag.value else ""
            lines.append(f"complete -c mydocker -n '{here}' {' '.join(spelled)}{takes} -d '{_quoted(flag.help)}'")
        if not below:
            for name, listing in LISTS.items():
                if name in command.operands:
                    lines.append(f"complete -c mydocker -n '{here}' -a '({_quoted(listing)})'")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}
COMMANDS = {
    "completion": CliCommand("Print a script that completes command lines.", [], "bash|zsh|fish", print_script),
}
