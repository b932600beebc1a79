"""What `--explain` tells of a container: the stages of the loop and its parts, with their sections."""

from __future__ import annotations

from ch02_namespaces import syscalls
from ch02_namespaces.explain import tell
from ch03_run.container import Container, Part


def narrate(container: Container) -> None:
    """Tell the story of this container. Both processes tell: the child is a copy of the engine."""
    container.on_stage = Narrator(container).tell_stage


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
            tell(f"{stage:<8} the command replaces the child (section 3.3)")
        else:
            self._tell_part(stage, part)

    def _tell_spawn(self) -> None:
        tell("spawn    a child in new namespaces, made by one call; it waits (section 3.1.2)")
        for part in self.container.parts:
            if part.clone_flags:
                self._tell_part("", part)
                tell(f"           needs {syscalls.flag_names('CLONE_', part.clone_flags)}")

    def _tell_part(self, stage: str, part: Part) -> None:
        line = f"{stage:<8} {type(part).__name__}"
        if part not in self._introduced:
            self._introduced.add(part)
            line += f" (section {part.section}): {first_sentence(part)}"
        tell(line)


def first_sentence(part: Part) -> str:
    """What a part is for, from its docstring."""
    text = " ".join((part.__doc__ or "").split())
    return text.split(". ")[0].split(": ")[0].rstrip(".")
