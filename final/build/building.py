"""The build: stage after stage, step after step; a step that changes files makes a layer, or finds it in the cache.

A layer in the making is nobody's, and so is a container in which a step runs; both have a lock that dies with us. When
a layer is whole the cache names it; when the last stage is done the image gets its name. So a build that is killed
leaves what the next one goes on with, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import time

from ch02_namespaces.errors import EngineError, warn
from ch04_images import images
from ch04_images.beneath import why
from final.build import cache, configuration, steps
from final.build.built import PROXIES, Built
from final.build.configuration import NEVER_LATER
from final.build.context import Files
from final.build.dockerfile import BUILD_FAILED, DockerfileError, Instruction, parse
from final.build.stages import SCRATCH, arguments_of
from final.build.union import Union, layer_of
from final.build.words import raw_words
from final.images import made_here, platform, store
from final.images.addition import Addition, topmost
from final.images.documents import format_time, parse_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ch04_images.containers import ContainerRecord
    from final.build.built import Wishes
    from final.build.context import Context
    from final.build.output import Output
    from final.build.stages import Plan, Stage

    Make = Callable[[], contextlib.AbstractContextManager[ContainerRecord]]

NOT_RUN = (126, 127)
"""What `run` ends with when there is no such command: here it is the Dockerfile's fault."""


class Build:
    """One build. addition: holds all layers that it needs, and has a directory for what it needs for the moment."""

    def __init__(self, plan: Plan, context: Context, wishes: Wishes, addition: Addition, output: Output) -> None:
        self.plan = plan
        self.context = context
        self.wishes = wishes
        self.addition = addition
        self.output = output
        self._stages: dict[int, Built] = {}
        self._asked: set[str] = set()

    def run(self, target: str, names: Sequence[str]) -> str:
        """Build a stage, and what it needs; the id of the image. names: that it gets. Raises EngineError."""
        needed = self.plan.needed(target)
        self.output.total = sum(1 + len(stage.instructions) for stage in needed)
        for stage in needed:
            self._built(stage)
        unused = self.wishes.arguments.keys() - self._asked - self.plan.arguments.keys() - PROXIES
        if unused:
            warn(f"no ARG asks for --build-arg {', '.join(sorted(unused))}")
        return self._finish(self._built(needed[-1]), names)

    def _finish(self, built: Built, names: Sequence[str]) -> str:
        config = configuration.labelled(built.config, self.wishes.labels)
        if not built.diff_ids:
            raise EngineError("the image", "it has no files", "COPY or ADD brings some", BUILD_FAILED)
        images.check("the image", self.layers_of(built), config)
        fields = made_here.config_document(config, built.diff_ids, built.created, built.history, built.platform)
        data = made_here.encoded({**fields, **({"author": built.author} if built.author else {})})
        id = self.addition.put(data)
        self.addition.name(names or [id], parse_config("the image", data), None)
        return id

    def _built(self, stage: Stage) -> Built:
        """A stage, done now if it has not been: what ONBUILD of an image needs, nobody knows before."""
        if stage.number not in self._stages:
            self._stages[stage.number] = self._build(stage)
        return self._stages[stage.number]

    def _build(self, stage: Stage) -> Built:
        self.output.begin(stage.first.shown)
        with _placed(stage.first):
            built = self._begun(stage)
            later = [one for text in built.config.pop("OnBuild", None) or [] for one in _triggered(text)]
        for instruction in later:
            self.output.more(instruction.shown)
            self._step(stage, built, instruction)
        for instruction in stage.instructions:
            self.output.begin(instruction.shown)
            self._step(stage, built, instruction)
        return built

    def _begun(self, stage: Stage) -> Built:
        """What it begins with: a stage before it, an image, or nothing."""
        below = None if stage.base.isdecimal() else self.plan.find(stage.base, stage.number)
        if below is not None:
            return self._built(below).copy()
        if stage.base == SCRATCH:
            return Built(SCRATCH, platform.parse(stage.platform) if stage.platform else self.wishes.platform)
        return self.of_image(stage.base, stage.platform)

    def of_image(self, name: str, wanted: str = "") -> Built:
        """An image, as a stage that nothing has been done to. wanted: its platform. Raises EngineError."""
        image = store.identified(self.wishes.bring(name, wanted))
        known = store.config_of(image)
        built = Built(image.name, known.platform)
        built.config, built.diff_ids, built.created = dict(known.config), list(known.diff_ids), image.created
        told = sum(not step.get("empty_layer") for step in known.history)
        unknown = {"created": format_time(image.created), "created_by": image.name}
        built.history = list(known.history) if told == len(built.diff_ids) else [unknown] * len(built.diff_ids)
        author = known.fields.get("author")
        built.author = author if isinstance(author, str) else ""
        self.layers_of(built)
        return built

    def files_of(self, stage: Stage, instruction: Instruction, name: str, stack: contextlib.ExitStack) -> Files:
        """The files of a stage before this one or of an image, as long as the stack lasts; without a name, of the
        context. Raises EngineError."""
        if not name:
            return self.context.files
        if "$" in name:
            raise instruction.error(f"--from={name} takes no variables", "FROM … AS NAME does")
        below = self.plan.find(name, stage.number)
        if below is None and name.isdecimal():
            raise instruction.error(f"there is no stage {name} before this one")
        source = self._built(below) if below else self.of_image(name)
        return Files(stack.enter_context(Union(self.layers_of(source), source.name)).root)

    def new_path(self) -> str:
        """Of something that lasts as long as the build, at most."""
        return f"{self.addition.directory}/{os.urandom(8).hex()}"

    def _step(self, stage: Stage, built: Built, instruction: Instruction) -> None:
        with _placed(instruction):
            if instruction.word in steps.STEPS:
                steps.STEPS[instruction.word](self, stage, built, instruction)
                return
            if instruction.word == "ARG":
                built.arguments |= arguments_of(
                    instruction, built.variables, self.wishes.arguments, self.plan.arguments
                )
                self._asked |= {word.partition("=")[0] for word in raw_words(instruction.text, instruction.escape)}
                built.tell(f"ARG {instruction.text}", is_empty=True)
                return
            if instruction.word == "MAINTAINER":
                built.author = instruction.text
            if instruction.word == "ENTRYPOINT" and not built.has_command:
                built.config.pop("Cmd", None)  # that of the image below was meant for its own entrypoint
            built.has_command |= instruction.word == "CMD"
            built.config, text = configuration.applied(built.config, instruction, built.variables)
            built.tell(text, is_empty=True)

    # ---------------------------------------------------------------- layers

    def layers_of(self, built: Built) -> list[str]:
        """The ids of its layers, which stay as long as the build lasts. Raises EngineError."""
        found = [self.addition.find_layer(diff_id) for diff_id in built.diff_ids]
        if not all(found):
            raise EngineError(f"image {built.name}", "one of its layers is gone", "pull or build it again")
        return topmost(one.layer for one in found if one)

    def add_layer(self, built: Built, key: str, text: str, make: Make) -> None:
        """One more layer: the cache's, or a new one. key: of the step; text: for the history; make: a `with` around a
        container whose files have changed. Raises EngineError."""
        found = cache.find(key) if self.wishes.use_cache else None
        if found is not None and self.addition.find_layer(found.diff_id) is not None:
            self.output.cached(found.diff_id)
        else:
            found = self._new_layer(built, key, make)
            self.output.made(found.diff_id)
        built.diff_ids.append(found.diff_id)
        built.created = found.created
        built.tell(text, is_empty=False)

    def _new_layer(self, built: Built, key: str, make: Make) -> cache.Step:
        images.check(f"image {built.name}", [*self.layers_of(built), ""], {})
        with Addition() as addition:
            with make() as record:
                diff_id, made = layer_of(record, addition)
            addition.finish()
            self.addition.find_layer(diff_id)  # it is held from now on
            found = cache.Step(diff_id, int(time.time()))
            cache.keep(key, topmost([*self.layers_of(built), made.layer]), found, made.size)
        return found


def _triggered(text: object) -> list[Instruction]:
    """What an image wants to be done in those that stand on it: ONBUILD."""
    found = parse(text.encode(errors="surrogateescape"), "ONBUILD") if isinstance(text, str) else []
    for instruction in found:
        if instruction.word in NEVER_LATER:
            raise instruction.error("it cannot be done later")
    return found


@contextlib.contextmanager
def _placed(instruction: Instruction) -> Iterator[None]:
    """Let errors say which line of the Dockerfile they are about."""
    place = f"{instruction.place}: {instruction.word}"
    try:
        yield
    except DockerfileError:
        raise
    except EngineError as error:
        code = BUILD_FAILED if error.exit_code in NOT_RUN else error.exit_code
        raise EngineError(f"{place}: {error.what}", error.why, error.hint, code) from error
    except BrokenPipeError:  # the reader of our output has left
        raise
    except OSError as error:
        raise EngineError(place, why(error)) from error
