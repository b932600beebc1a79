"""The stages of a Dockerfile: what each begins with, and which a target takes. Docker's "Multi-stage builds"."""

from __future__ import annotations

from final.build.dockerfile import DockerfileError, Instruction
from final.build.mount_wishes import stages_of
from final.build.words import WordError, expand, raw_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCRATCH = "scratch"


class Stage:
    """number: from 0; name: of AS, may be empty; base: an image, the name of a stage before it, or scratch; platform:
    of FROM --platform, may be empty; instructions: what follows FROM."""

    def __init__(self, number: int, name: str, base: str, platform: str, first: Instruction) -> None:
        self.number = number
        self.name = name
        self.base = base
        self.platform = platform
        self.first = first
        self.instructions: list[Instruction] = []


class Plan:
    """All stages, and what the arguments before the first FROM are. given: --build-arg; automatic: arguments that need
    no ARG before FROM. Raises DockerfileError."""

    def __init__(
        self, instructions: Sequence[Instruction], name: str, given: Mapping[str, str], automatic: Mapping[str, str]
    ) -> None:
        self.arguments = dict(automatic)
        """Those before the first FROM: a stage has them when it says ARG again."""
        self.stages: list[Stage] = []
        self._name = name
        for instruction in instructions:
            if instruction.word == "FROM":
                self.stages.append(self._stage(instruction))
            elif self.stages:
                self.stages[-1].instructions.append(instruction)
            elif instruction.word == "ARG":
                self.arguments |= arguments_of(instruction, self.arguments, given, self.arguments)
            else:
                raise instruction.error("it stands before the first FROM")
        if not self.stages:
            raise DockerfileError(name, "there is no FROM in it")

    def _stage(self, instruction: Instruction) -> Stage:
        words = instruction.text.split()
        if len(words) != 1 and not (len(words) == 3 and words[1].upper() == "AS"):
            raise instruction.error("it is not FROM IMAGE or FROM IMAGE AS NAME")
        name = words[2].lower() if len(words) == 3 else ""
        if name and (not name[0].isalpha() or not set(name) <= frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")):
            raise instruction.error(f"{words[2]!r} is no name for a stage", "a letter, then letters, digits, . _ -")
        wanted = words[0], instruction.flag("platform")
        try:
            base, platform = (expand(text, self.arguments, instruction.escape) for text in wanted)
        except WordError as error:
            raise instruction.error(str(error)) from None
        if not base:
            raise instruction.error(f"{words[0]} is empty", "an ARG before FROM gives it a value")
        return Stage(len(self.stages), name, base, platform, instruction)

    def find(self, name: str, before: int | None = None) -> Stage | None:
        """The stage of this name, or number, among the first `before`; of two, the later one."""
        known = self.stages[:before]
        if name.isascii() and name.isdecimal():
            return known[int(name)] if int(name) < len(known) else None
        return next((stage for stage in reversed(known) if stage.name and stage.name == name.lower()), None)

    def needed(self, target: str) -> list[Stage]:
        """The stages that a target takes, itself the last. target: name or number; empty for the last stage."""
        wanted = self.find(target) if target else self.stages[-1]
        if wanted is None:
            names = ", ".join(stage.name for stage in self.stages if stage.name)
            raise DockerfileError(self._name, f"there is no stage {target!r}", names and f"there are {names}")
        found = {wanted.number}
        for stage in reversed(self.stages[: wanted.number + 1]):
            if stage.number in found:
                found |= {one.number for name in _sources(stage) if (one := self.find(name, stage.number))}
        return [stage for stage in self.stages if stage.number in found]


def _sources(stage: Stage) -> list[str]:
    """What it may stand on or copy from: names of stages, and of images."""
    names = [stage.base]
    for instruction in stage.instructions:
        names += stages_of(instruction) if instruction.word == "RUN" else [instruction.flag("from")]
    return [name for name in names if name]


def arguments_of(
    instruction: Instruction, variables: Mapping[str, str], given: Mapping[str, str], known: Mapping[str, str]
) -> dict[str, str]:
    """What ARG NAME[=DEFAULT] … sets. given: --build-arg; known: values for those that have no default of their own.
    Raises DockerfileError."""
    found = {}
    for word in raw_words(instruction.text, instruction.escape):
        name, equals, default = word.partition("=")
        try:
            name, default = (expand(text, variables, instruction.escape) for text in (name, default))
        except WordError as error:
            raise instruction.error(str(error)) from None
        if not name:
            raise instruction.error(f"{word!r} has no name")
        if name in given:
            found[name] = given[name]
        elif equals:
            found[name] = default
        elif name in known:
            found[name] = known[name]
    return found
