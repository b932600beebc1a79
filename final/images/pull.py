"""pull: an image from a registry into the store. distribution-spec 1.1, "Pull".

Layers come at the same time, each straight into its directory while it is summed up; what breaks off is resumed.
"""

from __future__ import annotations

from ch02_namespaces.errors import EngineError
from ch04_images import images
from final.images import parallel, platform, registries, store
from final.images.addition import Addition
from final.images.digest import Verifier, digest_of, short, verified
from final.images.documents import Descriptor, Index, Manifest, parse_config, parse_manifest
from final.images.reference import parse
from final.images.registry import Registry
from final.images.transport import InterruptedTransferError, read_all, read_some
from final.images.unpacking import Kept, unpack_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from final.images.documents import ImageConfig
    from final.images.platform import Platform
    from final.images.progress import Progress
    from final.images.reference import Reference
    from final.images.transport import Response

CHUNK = 1 << 16
MOST_RESUMES = 10  # in a row without ENOUGH between them
ENOUGH = 1 << 20  # bytes


class Found:
    """What a registry has under a name, for a platform. digest: of what the name stands for there, maybe an index."""

    def __init__(self, registry: Registry, digest: str, manifest: Manifest) -> None:
        self.registry = registry
        self.digest = digest
        self.manifest = manifest


def pull(reference: Reference, wanted: Platform | None, progress: Progress) -> str:
    """Bring an image here; the digest that its name stands for in the registry. Raises EngineError; then nothing has
    changed. wanted: the platform that it must be for; None: this machine's, if there is a choice."""
    progress.say(f"{reference.target}: Pulling from {reference.path}")
    found = locate(reference, wanted)
    store.settle()  # a killed one may have left a full disk
    known = store.named(reference.name)
    is_known = known is not None and known.origin.get("manifest", {}).get("digest") == digest_of(found.manifest.data)
    with Addition() as addition:
        config = _fetch_config(addition, found, wanted)
        pulling = _Layers(addition, found, config, progress)
        pulling.run()
        data, media_type = found.manifest.data, found.manifest.media_type
        manifest = Descriptor(media_type, addition.put(data), len(data))
        addition.name([reference.name], config, manifest, [f"{reference.repository}@{found.digest}"])
    store.settle()
    progress.say(f"Digest: {found.digest}")
    news = "Image is up to date" if is_known else "Downloaded newer image"
    progress.say(f"Status: {news} for {reference.name}")
    return found.digest


def every_tag(reference: Reference) -> list[Reference]:
    """The names of all tags that a repository has in its registry. Raises EngineError."""
    registry = Registry(registries.endpoints(reference.host)[-1], reference.path)
    return [parse(f"{reference.repository}:{tag}") for tag in registry.tags()]


def locate(reference: Reference, wanted: Platform | None) -> Found:
    """The manifest of an image: from a mirror, or else from the registry itself. Raises EngineError."""
    *mirrors, own = registries.endpoints(reference.host)
    for endpoint in mirrors:
        try:
            return _locate_at(Registry(endpoint, reference.path), reference, wanted)
        except EngineError:  # it has not got it, or does not work: the next one is asked, and last the registry itself
            continue
    return _locate_at(Registry(own, reference.path), reference, wanted)


def _locate_at(registry: Registry, reference: Reference, wanted: Platform | None) -> Found:
    what = f"image {reference}"
    data, media_type, digest = registry.manifest(reference.target)
    document = parse_manifest(what, data, media_type)
    if isinstance(document, Index):
        chosen = platform.choose(what, document.manifests, wanted or platform.of_machine())
        data, media_type, _ = registry.manifest(chosen.digest)
        document = parse_manifest(what, verified(what, data, chosen.digest, chosen.size), media_type)
    if not isinstance(document, Manifest):
        raise EngineError(what, "its index leads to another index")
    return Found(registry, digest, document)


def _fetch_config(addition: Addition, found: Found, wanted: Platform | None) -> ImageConfig:
    """The configuration, checked against what it must fit to."""
    described = found.manifest.config
    what = f"{found.registry}: configuration {short(described.digest)}"
    if addition.has(described.digest):
        data = addition.read(what, described.digest)
    else:
        data = read_all(found.registry.blob(described.digest), what, described.size)
        with addition.writing(described.digest) as file:
            file.write(verified(what, data, described.digest, described.size))
    config = parse_config(what, data)
    images.check(what, config.diff_ids, config.config)
    if len(config.diff_ids) != len(found.manifest.layers):
        raise EngineError(
            what, f"it speaks of {len(config.diff_ids)} layers, the manifest of {len(found.manifest.layers)}"
        )
    if not config.diff_ids:
        raise EngineError(what, "it has no layers: there is nothing to run")
    if wanted and wanted.rank(config.platform) < 0:
        raise EngineError(what, f"it is for {config.platform}, not for {wanted}")
    return config


class _Layers:
    """The layers of one image on their way."""

    def __init__(self, addition: Addition, found: Found, config: ImageConfig, progress: Progress) -> None:
        self._addition = addition
        self._registry = found.registry
        self._progress = progress
        self._blobs: dict[str, tuple[Descriptor, str]] = {}
        for descriptor, diff_id in zip(found.manifest.layers, config.diff_ids, strict=True):
            same = self._blobs.setdefault(descriptor.digest, (descriptor, diff_id))
            if same[1] != diff_id:
                raise EngineError(f"layer {descriptor.digest}", "it cannot have two diff_ids")

    def run(self) -> None:
        """Bring all of them."""
        unpacked_by = {diff_id: digest for digest, (_, diff_id) in self._blobs.items()}  # several blobs may have one
        chosen = set(unpacked_by.values())
        parallel.for_all(
            [(*pair, digest in chosen) for digest, pair in self._blobs.items()],
            lambda task: self._bring(*task),
            self._cancel,
        )

    def _cancel(self) -> None:
        self._registry.transport.cancel()
        self._addition.cancel()

    def _bring(self, blob: Descriptor, diff_id: str, unpack: bool) -> None:
        has_files = not unpack or self._addition.find_layer(diff_id) is not None
        what = f"{self._registry}: layer {short(blob.digest)}"
        if self._addition.has(blob.digest):
            if not has_files:
                with open(self._addition.path(blob.digest), "rb") as file:
                    unpack_layer(self._addition, what, Kept(what, file, blob), diff_id, blob)
            self._progress.done(blob.digest, "Already exists")
            return
        with self._addition.writing(blob.digest) as file:
            moved = self._progress.blob(blob.digest, "Downloading", blob.size)
            with Download(self._registry, what, blob, file, moved) as download:
                if has_files:
                    download.finish()
                else:
                    unpack_layer(self._addition, what, download, diff_id, blob)
        self._progress.done(blob.digest, "Pull complete")


class Download:
    """The bytes of a blob as they come from a registry; copied into `file`; verified; resumed where they break off."""

    def __init__(
        self, registry: Registry, what: str, blob: Descriptor, file: IO[bytes], moved: Callable[[int], None]
    ) -> None:
        self._registry = registry
        self._blob = blob
        self._file = file
        self._moved = moved
        self._verifier = Verifier(what, blob.digest, blob.size)
        self._what = what
        self._response: Response | None = None
        self._resumes = 0
        self._resumed_at = 0

    def __enter__(self) -> Download:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end. Raises EngineError."""
        while True:
            try:
                data = self._some(size)
            except InterruptedTransferError as broken:
                self._resume_later(str(broken))
                continue
            self._verifier.update(data)
            self._file.write(data)
            self._moved(self._verifier.size)
            if not data and self._verifier.size < self._blob.size:
                self._resume_later("it ended too early")
                continue
            return data

    def finish(self) -> None:
        """Read the rest. Raises EngineError if it was not what it should be."""
        while self.read(CHUNK):
            pass
        self._verifier.finish()

    def _some(self, size: int) -> bytes:
        if self._response is None:
            self._response = self._registry.transport.opened(
                self._registry.blob(self._blob.digest, self._verifier.size)
            )
        return read_some(self._response, size)

    def _resume_later(self, why: str) -> None:
        self._close()
        if self._verifier.size >= self._resumed_at + ENOUGH:
            self._resumes = 0
        self._resumes += 1
        self._resumed_at = self._verifier.size
        if self._resumes > MOST_RESUMES or self._registry.transport.is_cancelled():
            raise EngineError(self._what, f"it broke off at byte {self._verifier.size}: {why}", "try again")

    def _close(self) -> None:
        if self._response is not None:
            self._registry.transport.closed(self._response)
            self._response = None
