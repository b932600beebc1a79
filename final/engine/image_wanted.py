"""--pull and --platform: the image that `run` and `create` want is brought here when it is missing."""

from __future__ import annotations

import signal
import sys

from ch02_namespaces.errors import EngineError
from ch04_images import images
from ch04_images.image_commands import clean_up_when_interrupted
from final.engine import events
from final.images import platform, reference, store
from final.images.progress import Progress
from final.images.pull import pull

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ch04_images.images import Image
    from final.images.platform import Platform
    from final.images.reference import Reference

ALWAYS, MISSING, NEVER = "always", "missing", "never"


def name_of(text: str, policy: str, platform_name: str | None, quiet: bool) -> str:
    """The name in the store of an image, given by name or id. policy: whether it is pulled; platform_name: what it must
    be for. Raises EngineError when it is not here and cannot be brought."""
    wanted = platform.parse(platform_name) if platform_name else None
    known = _known(text)
    if policy == NEVER and known is not None and not _is_for(known, wanted):
        raise EngineError(f"image {text!r}", f"it is not for {platform_name}", "--pull missing brings one that is")
    if policy == NEVER or (policy == MISSING and known is not None and _is_for(known, wanted)):
        return known.name if known is not None else images.find(text).name  # the latter raises
    found = reference.parse(text)
    try:
        _pull(found, wanted, quiet)
    except EngineError as failed:
        if known is not None or policy == ALWAYS:
            raise
        raise _missing(text, failed) from None
    return found.name


def _pull(found: Reference, wanted: Platform | None, quiet: bool) -> None:
    """Standard output is the container's: nothing is said there but to a terminal."""
    clean_up_when_interrupted()
    with Progress(quiet or not sys.stdout.isatty()) as progress:
        pull(found, wanted, progress)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as it was
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    events.record("image", "pull", found.name, {"name": found.name})


def _known(text: str) -> Image | None:
    try:
        return store.find(text)
    except EngineError as error:
        if "there is none" not in error.why:
            raise
        return None


def _is_for(image: Image, wanted: Platform | None) -> bool:
    return wanted is None or wanted.rank(store.config_of(image).platform) >= 0


def _missing(text: str, failed: EngineError) -> EngineError:
    """It is neither here nor there."""
    try:
        images.find(text)
    except EngineError as missing:
        why = f"{missing.why}, nor can it be pulled: {failed.what}: {failed.why}"
        return EngineError(missing.what, why, missing.hint)
    return failed
