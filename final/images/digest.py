"""Digests: a name that says what the bytes must be. OCI image-spec, descriptor.md, "Digests"."""

from __future__ import annotations

import hashlib

from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeGuard

LENGTHS = {"sha256": 64, "sha512": 128}
HEXADECIMAL = frozenset("0123456789abcdef")


def is_digest(text: object) -> TypeGuard[str]:
    """Whether it has the form ALGORITHM:HEXADECIMAL, of an algorithm that we know. So it is safe as a file's name."""
    if not isinstance(text, str):
        return False
    algorithm, _, value = text.partition(":")
    return len(value) == LENGTHS.get(algorithm, -1) and set(value) <= HEXADECIMAL


def digest_of(data: bytes) -> str:
    """The digest by which we call what we make ourselves."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def short(digest: str) -> str:
    """The part that people see."""
    return digest.partition(":")[2][:12]


class Digester:
    """Bytes on their way: counted, and summed up."""

    def __init__(self, algorithm: str = "sha256") -> None:
        self._algorithm = algorithm
        self._sum = hashlib.new(algorithm)
        self.size = 0

    def update(self, data: bytes) -> None:
        """Some more."""
        self._sum.update(data)
        self.size += len(data)

    @property
    def digest(self) -> str:
        """Of all bytes so far."""
        return f"{self._algorithm}:{self._sum.hexdigest()}"


class Verifier(Digester):
    """The same, for bytes that must be those of a digest: more or other ones are an error.

    what: as the user shall see it; size: in bytes, None if nobody has said it.
    """

    def __init__(self, what: str, digest: str, size: int | None = None) -> None:
        super().__init__(digest.partition(":")[0])
        self._what = what
        self._expected = digest
        self._expected_size = size

    def update(self, data: bytes) -> None:
        """Some more. Raises EngineError if that is more than there should be."""
        super().update(data)
        if self._expected_size is not None and self.size > self._expected_size:
            raise EngineError(self._what, f"it has more than the {self._expected_size} bytes that it should have")

    def finish(self) -> None:
        """That was all. Raises EngineError unless it is what it should be."""
        if self._expected_size is not None and self.size != self._expected_size:
            raise EngineError(self._what, f"it has {self.size} bytes and should have {self._expected_size}")
        if self.digest != self._expected:
            raise EngineError(self._what, f"its digest is {self.digest} and should be {self._expected}")


def verified(what: str, data: bytes, digest: str, size: int | None = None) -> bytes:
    """The data, if they are what they should be. Raises EngineError."""
    verifier = Verifier(what, digest, size)
    verifier.update(data)
    verifier.finish()
    return data
