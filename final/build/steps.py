"""The instructions that change files: WORKDIR, COPY, ADD, RUN. Each says what its layer is made of, and how."""

from __future__ import annotations

import contextlib
import os

from final.build import cache, configuration, copying, running
from final.build.built import PROXIES, Built
from final.build.context import Files
from final.build.dockerfile import Instruction, is_document
from final.build.owner import numbers_of, owner_of
from final.build.run_mounts import RunMounts
from final.build.union import Union
from final.build.words import WordError, expand_document
from final.engine import mounts
from final.engine.container_root import Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ch04_images.containers import ContainerRecord
    from final.build.building import Build
    from final.build.stages import Stage


def make_working_directory(build: Build, stage: Stage, built: Built, instruction: Instruction) -> None:
    """WORKDIR: a directory, made if it is not there, in which later steps and the container's command begin."""
    text = configuration.expanded(instruction, instruction.text, built.variables)
    path = copying.target_of(text, built.directory).rstrip("/") or "/"

    @contextlib.contextmanager
    def make() -> Iterator[ContainerRecord]:
        with Union(build.layers_of(built), built.name) as union:
            os.close(copying.make_directory(union.root, path, None))
            yield union.record

    build.add_layer(built, cache.key_of(built.diff_ids, "WORKDIR", path), f"WORKDIR {path}", make)
    built.config["WorkingDir"] = path


# ---------------------------------------------------------------- COPY and ADD


def copy_files(build: Build, stage: Stage, built: Built, instruction: Instruction) -> None:
    """COPY and ADD: files of the context, of another stage, of an image, or of the Dockerfile itself."""
    words = _words(built, instruction)
    *sources, target = words
    patterns = [word for word in sources if not is_document(word)]
    names = [document.name for document in instruction.documents]
    wish = copying.Wish(copying.target_of(target, built.directory), instruction.word == "ADD")
    wish.mode = copying.mode_of(instruction, built.variables)
    wish.owner = _owner(build, built, instruction)
    with contextlib.ExitStack() as stack:
        files = build.files_of(stage, instruction, instruction.flag("from"), stack)
        paths = copying.found(instruction, files, patterns)
        if len(paths) + len(names) > 1 and not wish.target.endswith("/"):
            raise instruction.error("several things go into a directory", f"{target}/")
        written = _written(build, built, instruction, stack) if names else files
        digests = [copying.digest_of(files, paths, wish), copying.digest_of(written, names, wish)]

        @contextlib.contextmanager
        def make() -> Iterator[ContainerRecord]:
            with Union(build.layers_of(built), built.name) as union:
                copying.copy(files, paths, wish, union.root)
                copying.copy(written, names, wish, union.root)
                if copying.digest_of(files, paths, wish) != digests[0]:
                    raise instruction.error("a file has changed while it was copied", "build again")
                yield union.record

        key = cache.key_of(built.diff_ids, instruction.word, wish.target, *digests)
        flags = [f"--{name}={value}" for name, value in instruction.flags]
        build.add_layer(built, key, " ".join([instruction.word, *flags, *words]), make)


def _words(built: Built, instruction: Instruction) -> list[str]:
    """The sources of COPY, and its target, with their variables replaced. Raises DockerfileError."""
    words = configuration.words_of(instruction.text) or instruction.text.split()
    found = [
        word if is_document(word) else configuration.expanded(instruction, word, built.variables) for word in words
    ]
    if len(found) < 2 or not all(found):
        raise instruction.error("it has no source, or no target, or an empty one")
    return found


def _written(build: Build, built: Built, instruction: Instruction, stack: contextlib.ExitStack) -> Files:
    """Its here-documents, as files."""
    top = build.new_path()
    os.mkdir(top)
    for document in instruction.documents:
        if "/" in document.name or document.name in (".", ".."):
            raise instruction.error(f"{document.name!r} is no name for a file")
        text = document.text
        if document.expands:
            try:
                text = expand_document(text, built.variables, instruction.escape)
            except WordError as error:
                raise instruction.error(str(error)) from None
        _write(f"{top}/{document.name}", text, 0o644)
    return Files(stack.enter_context(Root(os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))))


def _owner(build: Build, built: Built, instruction: Instruction) -> tuple[int, int] | None:
    """Of what is copied: as --chown says; else root, but files of a stage or an image keep theirs."""
    text = configuration.expanded(instruction, instruction.flag("chown"), built.variables)
    if not text:
        return None if instruction.flag("from") else (0, 0)
    numbers = numbers_of(text)
    if numbers is not None:
        return numbers
    with Union(build.layers_of(built), built.name) as union:
        return owner_of(instruction, text, union.root)


# ---------------------------------------------------------------- RUN


def run_command(build: Build, stage: Stage, built: Built, instruction: Instruction) -> None:
    """RUN: a command in a container; what it changes is the layer."""
    argv, script = _argv(built, instruction)
    arguments = built.own_arguments
    network = running.network_of(instruction, build.wishes.network)
    with contextlib.ExitStack() as stack:
        wanted = RunMounts(build, stage, built, instruction, stack)

        @contextlib.contextmanager
        def make() -> Iterator[ContainerRecord]:
            layers = build.layers_of(built)
            if not layers:
                raise instruction.error("nothing can be run in an empty image")
            with wanted.made() as made:
                if script:
                    path = build.new_path()
                    _write(path, script, 0o755)
                    made.mounts.append(mounts.entry(mounts.BIND, path, running.SCRIPT, ["ro"]))
                variables = {**made.variables, **build.wishes.proxies, **arguments}
                command = running.Command(argv, built.config, variables, made.mounts, network, made.secrets)
                with running.ran(layers, built.name, command, build.output.show) as (code, record):
                    if code:
                        build.output.failed()
                        raise instruction.error(f"the command ended with exit code {code}")
                    yield record

        kept = sorted([name, value] for name, value in arguments.items() if name not in PROXIES)
        config: list[object] = [built.config.get(name) for name in ("Env", "User", "WorkingDir")]
        key = cache.key_of(built.diff_ids, "RUN", argv, script, kept, wanted.key(), *config)
        build.add_layer(built, key, " ".join(["RUN", *argv]), make)


def _argv(built: Built, instruction: Instruction) -> tuple[list[str], str]:
    """What RUN runs, and the script that it takes along. Raises DockerfileError."""
    words = configuration.words_of(instruction.text)
    documents = instruction.documents
    if words is not None and (not words or documents):
        raise instruction.error("it is no command")
    if words is not None:
        return words, ""
    shell: Sequence[str] = configuration.shell_of(built.config)
    if documents and is_document(instruction.text):
        text = documents[0].text
        return ([running.SCRIPT], text) if text.startswith("#!") else ([*shell, text], "")
    return [*shell, instruction.text + "".join(f"\n{one.text}{one.name}" for one in documents)], ""


def _write(path: str, text: str, mode: int) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)


STEPS: dict[str, Callable[[Build, Stage, Built, Instruction], None]] = {
    "WORKDIR": make_working_directory,
    "COPY": copy_files,
    "ADD": copy_files,
    "RUN": run_command,
}
