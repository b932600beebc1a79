"""Images on their way into the store: blobs and layers that come together, and then get a name.

What must hold: what is on its way can't be swept away, and what a killed process left is. A blob lies in a directory of
`incoming` that its process has locked; it comes to its place by a second link, so that a blob with two links belongs to
somebody who has not finished. A layer is locked (ch04_images/images.py). The image's record is written last, and only
then are locks and second links given up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from ch02_namespaces.errors import EngineError
from ch02_namespaces.locks import lock, locked
from ch04_images import images, state
from final.images import layout
from final.images.digest import digest_of, is_digest, verified
from final.images.documents import LARGEST_CONFIG
from final.images.layout import Unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO, Any

    from ch04_images.images import NewLayer
    from final.images.documents import Descriptor, ImageConfig


class Addition:
    """What comes in together, for `with`. Threads may use it, each for blobs and layers of its own."""

    def __init__(self) -> None:
        self._held = contextlib.ExitStack()  # locks on layers
        self._new: dict[str, Unpacked] = {}
        self._layers: dict[str, Unpacked] = {}
        self._cancelled = False

    def cancel(self) -> None:
        """Let threads that check() end."""
        self._cancelled = True

    def check(self) -> None:
        """Raise EngineError if somebody has cancelled."""
        if self._cancelled:
            raise EngineError("layers", "interrupted")

    def __enter__(self) -> Addition:
        with locked(state.make_place("images"), fcntl.LOCK_EX):  # nobody sweeps between mkdir and lock
            layout.make_layout()
            self.directory = state.make_place("oci", "incoming", state.short(state.new_id()))
            self._lock = lock(self.directory, fcntl.LOCK_EX)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._held.close()
            state.remove_tree(self.directory)
        finally:
            os.close(self._lock)
        if kind is not None:
            from final.images import store

            with contextlib.suppress(EngineError):  # what has failed is what the user shall see
                store.settle()

    # ---------------------------------------------------------------- blobs

    def path(self, digest: str) -> str:
        """Where a blob is while it is on its way."""
        return f"{self.directory}/{digest.replace(':', '-')}"

    def has(self, digest: str) -> bool:
        """Whether a blob has come; one that the store has, comes at once."""
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            os.link(layout.blob_path(digest), self.path(digest))
        return os.path.exists(self.path(digest))

    def read(self, what: str, digest: str) -> bytes:
        """A small blob that has come. Raises EngineError."""
        with open(self.path(digest), "rb") as file:
            data = file.read(LARGEST_CONFIG + 1)
        return verified(what, data, digest)

    def put(self, data: bytes) -> str:
        """A small blob, whole; its digest."""
        digest = digest_of(data)
        if not self.has(digest):
            with self.writing(digest) as file:
                file.write(data)
        return digest

    @contextlib.contextmanager
    def writing(self, digest: str) -> Iterator[IO[bytes]]:
        """`with writing(digest) as file`: a blob. It has come when that ends without an error."""
        unfinished = self.path(digest) + ".part"
        with open(unfinished, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.rename(unfinished, self.path(digest))

    def take_file(self, file: IO[bytes], digest: str) -> None:
        """A blob that is a file already, below our own directory, and has been verified."""
        os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            # Python asks to follow the link in /proc, linkat(2), only when it is given a directory as well
            os.link(f"/proc/self/fd/{file.fileno()}", self.path(digest), src_dir_fd=file.fileno(), follow_symlinks=True)

    def rename(self, name: str, digest: str) -> None:
        """A blob that was written under another name, as nobody knew its digest."""
        os.rename(self.path(name), self.path(digest))

    # ---------------------------------------------------------------- layers

    def find_layer(self, diff_id: str) -> Unpacked | None:
        """A layer whose files the store has, and will have as long as this lasts."""
        if diff_id in self._layers:
            return self._layers[diff_id]
        found = layout.unpacked(diff_id)
        if found is None:
            return None
        try:
            held = lock(images.layer_directory(found.layer), fcntl.LOCK_SH)
        except FileNotFoundError:  # it was swept away just now
            return None
        self._held.callback(os.close, held)
        if not os.path.isdir(images.layer_directory(found.layer)):
            return None
        self._layers[diff_id] = found
        return found

    def make_layer(self, fill: Callable[[NewLayer], tuple[str, Unpacked]]) -> Unpacked:
        """A new layer, or, when its files turn out to be those of one in the store, that one.

        fill: puts the files into it; their diff_id, which is sure, and what is to be known of them.
        """
        with contextlib.ExitStack() as stack:
            layer = stack.enter_context(images.NewLayer())
            diff_id, made = fill(layer)
            known = self.find_layer(diff_id)
            if known is not None:
                return known
            layer.keep()
            self._held.push(stack.pop_all().__exit__)
        self._new[diff_id] = self._layers[diff_id] = made
        return made

    def add_layer(self, diff_id: str, layer: Unpacked) -> None:
        """What has been found out about a layer that is in the store, and that an image there needs."""
        self._new[diff_id] = self._layers[diff_id] = layer

    # ---------------------------------------------------------------- the end

    def finish(self) -> None:
        """All that has come gets its place; nobody refers to it yet."""
        for digest in (name.replace("-", ":") for name in os.listdir(self.directory)):
            if is_digest(digest):
                with contextlib.suppress(FileExistsError):
                    os.link(self.path(digest), layout.blob_path(digest))
        with locked(state.make_place("images"), fcntl.LOCK_EX):
            for diff_id, layer in self._new.items():
                layout.remember_unpacked(diff_id, layer)

    def name(
        self, names: Iterable[str], config: ImageConfig, manifest: Descriptor | None, digests: Iterable[str] = ()
    ) -> None:
        """Everything gets its place, and the image its names. digests: the names with digest that registries have for
        it."""
        self.finish()
        found = [self._layers[diff_id] for diff_id in config.diff_ids]
        origin: dict[str, Any] = {"config": digest_of(config.data), "digests": list(digests)}
        if manifest:
            origin["manifest"] = manifest.as_json()
        for name in names:
            layers = topmost(one.layer for one in found)
            size = sum(one.size for one in found)
            images.put(images.Image(name, layers, config.config, size, config.created, origin))


def topmost(layers: Iterable[str]) -> list[str]:
    """Each layer once, where it comes last: overlayfs takes none twice, and the one above says all that it says."""
    return list(dict.fromkeys(reversed(list(layers))))[::-1]
