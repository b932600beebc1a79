"""Where the engine keeps what it knows: records that are replaced whole, ids, and the removal of trees.

    $MYDOCKER_ROOT/        default /var/lib/mydocker; root's alone, as set-user-ID programs of images lie below it
        images/NAME.json   which layers an image has, and its configuration
        layers/ID/         the files of one layer
        containers/ID/     record.json, and what the container changes

Nothing here imports json: with the regular expressions that it needs, it would cost every start 6 ms, a third of all.
"""

from __future__ import annotations

import _json  # the part of json that is written in C
import os

from ch02_namespaces import syscalls
from ch02_namespaces.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_ROOT = "/var/lib/mydocker"
WHITESPACE = " \t\n\r"
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def place(*names: str) -> str:
    """The path of something below the state directory; nothing is made."""
    root = os.environ.get("MYDOCKER_ROOT") or DEFAULT_ROOT
    if not root.startswith("/"):  # what it is relative to changes: once is for good
        root = os.environ["MYDOCKER_ROOT"] = os.path.abspath(root)
    return "/".join([root.rstrip("/"), *names])


def make_place(*names: str) -> str:
    """A directory below the state directory. What is missing of it is made, for its owner alone. Raises EngineError."""
    path = place(*names)
    if os.path.isdir(path):
        return path
    try:
        os.makedirs(os.path.dirname(place()), exist_ok=True)
        for number in range(len(names) + 1):
            if not os.path.isdir(place(*names[:number])):
                _make_directory(place(*names[:number]))
    except OSError as error:
        raise EngineError(f"state directory {path}", str(error.strerror), "run as root, or set MYDOCKER_ROOT") from None
    return path


def _make_directory(path: str) -> None:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:  # somebody else was quicker
        return


def require_root() -> None:
    """Raise EngineError unless we are root: the files of an image belong to many users."""
    if os.geteuid() != 0:
        raise EngineError("images", "they need root", "sudo; chapter 3's run does without")


def new_id() -> str:
    """64 hexadecimal digits that nobody else has. The first 12, a container's host name, are not decimal digits alone:
    resolvers take such a name for an address."""
    while True:
        id = os.urandom(32).hex()
        if not short(id).isdecimal():
            return id


def short(id: str) -> str:
    """The part of an id that people see."""
    return id[:12]


# ---------------------------------------------------------------- records


class _Rules:
    """What json.JSONDecoder tells the scanner by default."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = parse_constant = float
    parse_int = int
    memo: dict[str, str] = {}  # noqa: RUF012


def parse_json(text: bytes) -> Any:
    """What a JSON text says: RFC 8259. Raises ValueError, RecursionError."""
    scan = _json.make_scanner(_Rules)  # type: ignore[arg-type]  # its type stands for what has these attributes
    try:
        whole = text.decode().strip(WHITESPACE)
        value, end = scan(whole, 0)
        if end == len(whole):
            return value
    except (ValueError, StopIteration, SystemError):  # the last for want of json.JSONDecodeError
        pass
    import json  # says what is wrong, and where

    return json.loads(text)


def read_record(path: str) -> dict[str, Any]:
    """A record that write_record() wrote. Raises EngineError for one that is missing or damaged."""
    try:
        record = parse_json(_whole(path))
    except OSError as error:
        raise EngineError(f"record {path}", str(error.strerror)) from None
    except (ValueError, RecursionError):
        raise EngineError(f"record {path}", "it is damaged", "it should be a JSON object") from None
    if not isinstance(record, dict):
        raise EngineError(f"record {path}", "it is damaged", "it should be a JSON object")
    return record


def _whole(path: str) -> bytes:
    """What a regular file has in it. Python's open() makes twice as many system calls, and `ps` reads thousands."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, os.fstat(file).st_size)
    finally:
        os.close(file)


def write_record(path: str, record: dict[str, Any], durable: bool = True) -> None:
    """Write a record so that whoever reads it finds the old one or the new one whole; also after the machine has lost
    its power, if it is to be durable.

    A file in the same directory is written, synced if durable, and renamed; its name ends in `.new`, and no two
    processes use the same. Whatever fails, it does not stay. The text is json_of() and a newline, in UTF-8.
    Raises EngineError for what the system refuses. Sources: rename(2), fsync(2).
    Example: after write_record("/r.json", {"a": 1}) the file is {"a": 1} and a newline, and /r.json.77.new is no more.
    """
    temporary = f"{path}.{os.getpid()}.new"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(json_of(record) + "\n")
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise EngineError(f"record {path}", str(error.strerror)) from None
        raise


def json_of(value: object) -> str:
    """A value as JSON, in one line: RFC 8259. Bytes of file names that are no UTF-8 stay what they are: surrogates are
    escaped."""
    if isinstance(value, str):
        return str(_json.encode_basestring_ascii(value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json_of(key)}: {json_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(json_of, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    assert isinstance(value, int | float)
    return repr(value)


# ---------------------------------------------------------------- removal


def remove_tree(path: str) -> None:
    """Remove a directory with all that is in it, however deep: containers can nest directories without end.

    Links are not followed, and mounts not entered: what is mounted below is an error (EXDEV), and stays. Each directory
    that holds others first hands them up to the top, so that neither descriptors nor the stack can run out.
    Removing what is not there is no error.
    """
    try:
        top = os.open(path, DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _empty(top)
    except OSError as error:
        raise EngineError(f"remove {path}", str(error)) from None
    finally:
        os.close(top)
    syscalls.rmdir(path)


def _empty(top: int) -> None:
    while names := os.listdir(top):
        for name in names:
            try:
                os.unlink(name, dir_fd=top)
                continue
            except IsADirectoryError:
                directory = syscalls.openat2(top, name, DIRECTORY, syscalls.RESOLVE_NO_XDEV)
            try:
                _hand_up(directory, top)
            finally:
                os.close(directory)
            os.rmdir(name, dir_fd=top)


def _hand_up(directory: int, top: int) -> None:
    """Remove the files of a directory and move its directories to the top, under names that nobody can foresee."""
    for name in os.listdir(directory):
        try:
            os.unlink(name, dir_fd=directory)
        except IsADirectoryError:
            os.rename(name, os.urandom(16).hex(), src_dir_fd=directory, dst_dir_fd=top)
