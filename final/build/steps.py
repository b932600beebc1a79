"""The instructions that change files: WORKDIR, COPY, ADD, RUN. Each says what its layer is made of, and how."""

from __future__ import annotations

import contextlib
import os

from final.build import cache, configuration, copying, running
from final.build.built import PROXIES, Built
from final.build.copy_step import copy_files, write_text
from final.build.dockerfile import Instruction, is_document
from final.build.run_mounts import RunMounts
from final.build.union import Union
from final.engine import mounts

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
                    write_text(path, script, 0o755)
                    made.mounts.append(mounts.entry(mounts.BIND, path, running.SCRIPT, ["ro"]))
                variables = {**made.variables, **build.wishes.proxies, **arguments}
                limits = build.wishes.limits
                command = running.Command(argv, built.config, variables, made.mounts, network, made.secrets, limits)
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


STEPS: dict[str, Callable[[Build, Stage, Built, Instruction], None]] = {
    "WORKDIR": make_working_directory,
    "COPY": copy_files,
    "ADD": copy_files,
    "RUN": run_command,
}
