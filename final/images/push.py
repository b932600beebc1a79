"""push: an image from the store into a registry. distribution-spec 1.1, "Push": blobs first, the manifest last."""

from __future__ import annotations

from ch02_namespaces.errors import EngineError
from ch04_images import images
from final.images import parallel, reference, registries, store
from final.images.addition import Addition
from final.images.digest import digest_of
from final.images.registry import Registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from final.images.documents import Descriptor
    from final.images.progress import Progress
    from final.images.reference import Reference


def push(target: Reference, progress: Progress) -> str:
    """Bring an image to the registry that its name says; its digest there. Raises EngineError."""
    image = store.named(target.name)
    if image is None:
        raise EngineError(
            f"image {target.name!r}", "there is none of this name", "`images` lists them; `tag` gives names"
        )
    progress.say(f"The push refers to repository [{target.repository}]")
    manifest = store.manifest_of(image)
    registry = Registry(registries.endpoints(target.host)[-1], target.path, "pull,push")
    blobs = {blob.digest: blob for blob in [*manifest.layers, manifest.config]}
    with Addition() as addition:  # whoever removes the image meanwhile does not disturb us
        for digest in blobs:
            if not addition.has(digest):
                raise EngineError(
                    f"image {image.name}", f"its blob {digest} is not in the store", "pull or load it again"
                )
        pushing = _Blobs(addition, registry, target, progress)
        parallel.for_all(blobs.values(), pushing.bring, registry.transport.cancel)
        digest = digest_of(manifest.data)
        registry.put_manifest(target.tag or digest, manifest.data, manifest.media_type)
    _remember(image.name, f"{target.repository}@{digest}")
    progress.say(f"{target.target}: digest: {digest} size: {len(manifest.data)}")
    return digest


def _remember(name: str, full: str) -> None:
    """The registry knows it by this digest."""
    image = images.find(name)
    known = image.origin.get("digests", [])
    if full not in known:
        images.remember(
            images.Image(
                name, image.layers, image.config, image.size, image.created, {**image.origin, "digests": [*known, full]}
            )
        )


class _Blobs:
    """Blobs on their way out."""

    def __init__(self, addition: Addition, registry: Registry, target: Reference, progress: Progress) -> None:
        self._addition = addition
        self._registry = registry
        self._progress = progress
        self._elsewhere = _by_blob(target)

    def bring(self, blob: Descriptor) -> None:
        """One blob: it may be there; or in another repository of the registry; or else it is uploaded."""
        if self._registry.has_blob(blob.digest):
            self._progress.done(blob.digest, "Layer already exists")
            return
        place = ""
        source = self._elsewhere.get(blob.digest)
        if source:
            place = self._registry.mount(blob.digest, source)
            if not place:
                self._progress.done(blob.digest, f"Mounted from {source}")
                return
        path = self._addition.path(blob.digest)
        moved = self._progress.blob(blob.digest, "Pushing", blob.size)
        self._registry.upload(place or self._registry.begin_upload(), path, blob.digest, moved)
        self._progress.done(blob.digest, "Pushed")


def _by_blob(target: Reference) -> dict[str, str]:
    """The other repositories of this registry that we know to have a blob: we pulled it from there, or pushed it."""
    found: dict[str, str] = {}
    for image in images.every():
        for full in image.origin.get("digests", []):
            other = reference.parse(full)
            if other.host == target.host and other.path != target.path:
                manifest = store.manifest_of(image)
                found.update((blob.digest, other.path) for blob in [*manifest.layers, manifest.config])
    return found
