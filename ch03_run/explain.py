"""`run --explain`: the loop's stages, parts and system calls, told as they happen, with their sections."""

from __future__ import annotations

import os

from ch02_namespaces import syscalls
from ch03_run.container import Container, Part


def narrate(container: Container) -> None:
    """Tell the story of this container on standard error. Both processes tell: the child is a copy of the engine."""
    container.on_stage = Narrator(container).tell_stage
    syscalls.observer = tell_call


class Narrator:
    """Tells the stages; what a part is for, only the first time it appears."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self._introduced: set[Part] = set()

    def tell_stage(self, stage: str, part: Part | None) -> None:
        """Tell that a stage begins, of a part or of the container."""
        if stage == "spawn":
            self._tell_spawn()
        elif part is None:
            say(f"{stage:<8} the command replaces the child (section 3.3)")
        else:
            self._tell_part(stage, part)

    def _tell_spawn(self) -> None:
        say("spawn    a child in new namespaces, made by one call; it waits (section 3.1.2)")
        for part in self.container.parts:
            if part.clone_flags:
                self._tell_part("", part)
                say(f"           needs {syscalls.flag_names('CLONE_', part.clone_flags)}")

    def _tell_part(self, stage: str, part: Part) -> None:
        line = f"{stage:<8} {type(part).__name__}"
        if part not in self._introduced:
            self._introduced.add(part)
            line += f" (section {part.section}): {first_sentence(part)}"
        say(line)


def first_sentence(part: Part) -> str:
    """What a part is for, from its docstring."""
    text = " ".join((part.__doc__ or "").split())
    return text.split(". ")[0].split(": ")[0].rstrip(".")


def tell_call(call: str, result: int) -> None:
    """Tell a system call and its result; negative is an errno."""
    outcome = os.strerror(-result) if result < 0 else str(result)
    say(f"           {call} = {outcome}")


def say(line: str) -> None:
    """Print a line at once: the child may become the command before a buffer is written."""
    os.write(2, os.fsencode(f"{line}\n"))
