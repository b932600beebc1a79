"""The bundle: a directory with config.json and the root file system that it names. Book section 7.3.

OCI runtime-spec, bundle.md and config.md. What the document says is checked as a whole here, before anything is made.
"""

from __future__ import annotations

import os

from ch02_namespaces.errors import EngineError
from ch04_images.state import parse_json
from ch07_practice.oci.document import SPEC, Node

LONGEST = 16 << 20  # bytes
CONFIG = "config.json"


class Bundle:
    """directory: absolute path; config: the document; rootfs: absolute path of the root file system."""

    def __init__(self, directory: str, config: Node) -> None:
        self.directory = directory
        self.config = config
        self.rootfs = os.path.join(directory, config["root"]["path"].text())


def load(directory: str) -> Bundle:
    """Read a bundle. Raises EngineError for one that is missing, damaged or of a version that we do not know."""
    directory = os.path.realpath(directory)
    path = os.path.join(directory, CONFIG)
    try:
        with open(path, "rb") as file:
            text = file.read(LONGEST + 1)
    except OSError as error:
        raise EngineError(f"bundle {directory}", f"{CONFIG}: {error.strerror}", "--bundle DIRECTORY") from None
    if len(text) > LONGEST:
        raise EngineError(path, f"it is larger than {LONGEST >> 20} MiB")
    try:
        document = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise EngineError(path, f"it is no JSON: {error}") from None
    config = Node(document, "")
    check(config)
    bundle = Bundle(directory, config)
    if not os.path.isdir(bundle.rootfs):
        raise config["root"]["path"].wrong(f"there is no directory {bundle.rootfs}")
    return bundle


def check(config: Node) -> None:
    """Raise EngineError for a document that makes no sense, whatever the machine."""
    check_version(config["ociVersion"])
    config["root"]["path"].text()
    config["root"]["readonly"].flag()
    config["hostname"].text("")
    config["domainname"].text("")
    for node in config["annotations"].fields().values():
        node.text()
    if config["process"]:
        check_process(config["process"])
    for mount in config["mounts"].items():
        mount["destination"].text()
        mount["type"].text("")
        mount["source"].text("")
        mount["options"].texts()


def check_version(node: Node) -> None:
    """Raise EngineError unless it is a version 1.x, all of which are compatible: config.md, "Specification version"."""
    numbers = node.text().partition("-")[0].partition("+")[0].split(".")
    if len(numbers) != 3 or not all(number.isascii() and number.isdecimal() for number in numbers):
        raise node.wrong(f"{node.value!r} is no version", f"such as {SPEC}")
    if numbers[0] != "1":
        raise node.wrong(f"{node.value!r} is a version that we do not know", "we know 1.x")


def check_process(process: Node) -> None:
    """Raise EngineError for a process that makes no sense. Also for `exec`, which gets one by itself."""
    if not process["args"].texts():
        raise process["args"].wrong("it is empty")
    process["cwd"].path()
    process["terminal"].flag()
    for variable in process["env"].items():
        if "=" not in variable.text() or variable.text().startswith("="):
            raise variable.wrong(f"{variable.value!r} is no NAME=VALUE")
    user = process["user"]
    for field in ("uid", "gid"):
        user[field].number(0, most=(1 << 32) - 2)
    user["umask"].number(0, most=0o777)
    for group in user["additionalGids"].items():
        group.number(most=(1 << 32) - 2)
    for field in ("height", "width"):
        process["consoleSize"][field].number(0, most=65535)
