"""import: an archive of a root file system becomes an image of one layer, with a blob, a diff_id and an id."""

from __future__ import annotations

import time

from ch04_images import images
from ch04_images.compression import open_plain
from ch04_images.unpack import DEFAULTS, unpack_plain
from final.images import changes, made_here, platform, store
from final.images.addition import Addition
from final.images.digest import digest_of
from final.images.documents import OCI_CONFIG, OCI_LAYER, Descriptor, format_time, parse_config
from final.images.gzip_writer import GzipWriter
from final.images.layout import Unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from ch04_images.images import NewLayer

BLOB = "imported"
CHUNK = 1 << 18


def import_archive(
    source: IO[bytes],
    name: str,
    check_root: Callable[[str], None],
    *,
    change: list[str] | None = None,
    comment: str = "",
    progress: Callable[[int], None] | None = None,
) -> str:
    """Make an image; its id. name: in the store, empty for an image without one; change: instructions as in a
    Dockerfile; check_root: refuses what is no root file system. Raises EngineError; then nothing has changed."""
    config = changes.applied({}, change or [])
    images.check("--change", [""], config)
    now = int(time.time())
    with Addition() as addition:
        diff_id, blob = _bring(addition, source, check_root, progress)
        step = {"created": format_time(now), "created_by": f"{made_here.MAKER} import", "comment": comment}
        data = made_here.encoded(made_here.config_document(config, [diff_id], now, [step], platform.of_machine()))
        described = Descriptor(OCI_CONFIG, addition.put(data), len(data))
        manifest = made_here.put_manifest(addition, described, [blob])
        id = digest_of(data)
        addition.name([name or id], parse_config("import", data), manifest)
    store.settle()
    return id


def _bring(
    addition: Addition,
    source: IO[bytes],
    check_root: Callable[[str], None],
    progress: Callable[[int], None] | None,
) -> tuple[str, Descriptor]:
    """The archive into a layer, and compressed into a blob, both at once; the diff_id and the blob."""
    blobs = []

    def fill(layer: NewLayer) -> tuple[str, Unpacked]:
        with addition.writing(BLOB) as file:
            writer = GzipWriter("import", file)
            read = open_plain(source, progress, DEFAULTS.total)

            def copied(size: int) -> bytes:
                data = read(size)
                writer.write(data)
                return data

            size = unpack_plain(copied, layer.directory)
            while copied(CHUNK):
                pass
            writer.finish()
        check_root(layer.directory)
        blob = Descriptor(OCI_LAYER, writer.compressed.digest, writer.compressed.size)
        addition.rename(BLOB, blob.digest)
        blobs.append((writer.plain.digest, blob))
        return writer.plain.digest, Unpacked(layer.id, size, writer.plain.size, blob)

    addition.make_layer(fill)
    return blobs[0]
