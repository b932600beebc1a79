"""What RUN --mount=… brings, for one step alone: files of the context, a stage or an image; a cache; secrets; an agent.

                what is mounted                                    what becomes of it
    bind        a copy of the context's files, without what        thrown away, with all that is written there (rw)
                .dockerignore leaves out; of a stage or an
                image its union, which is the step's own
    cache       a directory of the state directory                 kept (cache.py)
    tmpfs       memory                                             gone
    secret      a file in memory, read-only                        gone
    ssh         a socket in memory                                 gone

All of it is mounted where nobody but this build sees it (union.leave_mounts_of_host), and so goes with it, also when it
is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import posixpath

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError
from ch04_images import state
from final.build import cache, copying, ssh_agent
from final.build.mount_wishes import BIND, CACHE, LOCKED, PRIVATE, SECRET, SSH, TMPFS, MountWish, wishes_of
from final.engine import mounts
from final.engine.container_root import Root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from final.build.building import Build
    from final.build.built import Built
    from final.build.dockerfile import Instruction
    from final.build.stages import Stage

    Entry = dict[str, Any]

AGENT = "SSH_AUTH_SOCK"
MODE_OF_SECRET, MODE_OF_AGENT, MODE_OF_CACHE = 0o400, 0o600, 0o755
ROOT = (0, 0)
COPIED = "/source"
IN_MEMORY = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC


class Made:
    """mounts: for the container, as final/engine/mounts.py has them; variables: of its environment; secrets: variables
    that nobody writes down."""

    def __init__(self) -> None:
        self.mounts: list[Entry] = []
        self.variables: dict[str, str] = {}
        self.secrets: dict[bytes, bytes] = {}

    def bind(self, path: str, wish: MountWish) -> None:
        """One more mount: something of this host."""
        self.mounts.append(mounts.entry(mounts.BIND, path, wish.target, [] if wish.writable else ["ro"]))


class RunMounts:
    """The mounts of one RUN. stack: keeps the files of stages and images. Raises DockerfileError, EngineError."""

    def __init__(
        self, build: Build, stage: Stage, built: Built, instruction: Instruction, stack: contextlib.ExitStack
    ) -> None:
        self._build = build
        self._instruction = instruction
        self._wishes = wishes_of(instruction, built)
        bound = [wish for wish in self._wishes if wish.kind == BIND]
        self._files = {wish: build.files_of(stage, instruction, wish.stage, stack) for wish in bound}
        for wish, files in self._files.items():
            if not files.is_there(wish.source):
                raise instruction.error(f"--mount: {wish.source} is not there", "nor is what .dockerignore leaves out")
        self._digests = {wish: self._digest(wish) for wish in bound}

    def key(self) -> list[object]:
        """What they count for in the cache: what is bound as if it were copied; of a secret nothing but its name."""
        return [
            [
                *(wish.kind, wish.target, wish.id, wish.variable, wish.writable, wish.size, wish.mode),
                *(list(wish.owner or ()), self._digests.get(wish, "")),
            ]
            for wish in self._wishes
        ]

    def _digest(self, wish: MountWish) -> str:
        return copying.digest_of(self._files[wish], [copying.Piece(wish.source, COPIED)], _copied(wish))

    @contextlib.contextmanager
    def made(self) -> Iterator[Made]:
        """All of it, as long as the `with` lasts. Raises EngineError, OSError."""
        with contextlib.ExitStack() as stack:
            made = Made()
            self._add_caches(made, stack)
            in_memory = [wish for wish in self._wishes if wish.kind in (SECRET, SSH)]
            memory = stack.enter_context(_memory(self._build.new_path())) if in_memory else ""
            for number, wish in enumerate(self._wishes):
                if wish.kind == BIND:
                    made.bind(self._source_of(wish, stack), wish)
                elif wish.kind == TMPFS:
                    options = [wish.size] if wish.size else []
                    made.mounts.append({**mounts.entry(mounts.TMPFS, "", wish.target, []), "options": options})
                elif wish.kind == SECRET:
                    self._add_secret(made, wish, f"{memory}/{number}")
                elif wish.kind == SSH:
                    self._add_agent(made, wish, f"{memory}/{number}", stack)
            yield made

    def _source_of(self, wish: MountWish, stack: contextlib.ExitStack) -> str:
        """The path on this host of what is bound. No link is in it: the union of a stage is nobody else's."""
        files = self._files[wish]
        if wish.stage:
            return posixpath.join(files.top, files.real(wish.source))
        directory = self._build.new_path()
        os.mkdir(directory)
        stack.callback(state.remove_tree, directory)
        with Root(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as root:
            copying.copy(files, [copying.Piece(wish.source, COPIED)], _copied(wish), root)
        if self._digest(wish) != self._digests[wish]:
            raise self._instruction.error("a file has changed while it was copied", "build again")
        return directory + COPIED

    def _add_caches(self, made: Made, stack: contextlib.ExitStack) -> None:
        """In the order of their ids, so that no two builds wait for each other; each once, or we wait for ourselves."""
        wishes = [wish for wish in self._wishes if wish.kind == CACHE]
        paths: dict[str, str] = {}
        for wish in sorted(wishes, key=lambda wish: (wish.id, wish.sharing != LOCKED)):
            if wish.id not in paths:
                paths[wish.id], held = _cache_of(wish)
                stack.callback(os.close, held)
                _give(paths[wish.id], wish, MODE_OF_CACHE)
            made.bind(paths[wish.id], wish)

    def _add_secret(self, made: Made, wish: MountWish, path: str) -> None:
        secret = self._build.wishes.secrets.get(wish.id)
        if secret is None:
            self._miss(wish, f"--secret id={wish.id},src=FILE")
            return
        value = secret.read()
        if wish.variable:
            if b"\0" in value:
                raise EngineError(f"secret {wish.id}", "it has a NUL byte, and cannot be a variable")
            made.secrets[os.fsencode(wish.variable)] = value
        if wish.target:
            with open(path, "xb") as file:
                file.write(value)
            _give(path, wish, MODE_OF_SECRET)
            made.bind(path, wish)

    def _add_agent(self, made: Made, wish: MountWish, path: str, stack: contextlib.ExitStack) -> None:
        agent = self._build.wishes.agents.get(wish.id)
        if agent is None:
            self._miss(wish, f"--ssh {wish.id}")
            return
        stack.enter_context(ssh_agent.forwarded(agent, path))
        _give(path, wish, MODE_OF_AGENT)
        made.variables.setdefault(AGENT, wish.target)
        made.bind(path, wish)

    def _miss(self, wish: MountWish, flag: str) -> None:
        """What is not given is not mounted, as with Docker, unless it is required."""
        if wish.required:
            raise self._instruction.error(f"{wish.kind} {wish.id} is required, and not given", f"build {flag}")


def _copied(wish: MountWish) -> copying.Wish:
    """How its files would be copied."""
    return copying.Wish(extracts=False, owner=None if wish.stage else ROOT)


def _cache_of(wish: MountWish) -> tuple[str, int]:
    """Its directory, and a descriptor that keeps it. A private one is the first that nobody uses."""
    if wish.sharing != PRIVATE:
        return cache.directory_of(wish.id, fcntl.LOCK_EX if wish.sharing == LOCKED else fcntl.LOCK_SH)
    for number in itertools.count():
        with contextlib.suppress(BlockingIOError):
            return cache.directory_of(f"{wish.id}#{number}" if number else wish.id, fcntl.LOCK_EX | fcntl.LOCK_NB)
    raise AssertionError("there is always one more")


def _give(path: str, wish: MountWish, mode: int) -> None:
    """Let something have the owner and the mode that are wished for."""
    os.chown(path, *(wish.owner or ROOT))
    os.chmod(path, mode if wish.mode is None else wish.mode)


@contextlib.contextmanager
def _memory(path: str) -> Iterator[str]:
    """A file system in memory: what is written there is never on a disk, but for swap."""
    os.mkdir(path)
    syscalls.mount("tmpfs", path, "tmpfs", IN_MEMORY, "mode=700")
    try:
        yield path
    finally:
        syscalls.umount(path, syscalls.MNT_DETACH)
        os.rmdir(path)
