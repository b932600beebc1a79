"""One limit as it is written into a cgroup, and where config.json asks for it. Book section 7.3."""

from __future__ import annotations

import errno
import os

from ch02_namespaces import syscalls
from ch02_namespaces.errors import SyscallError
from ch07_practice.oci.document import Node


class Setting:
    """controller: by its version 2 name; node: the place in the document; choices: (file, value), of which the first
    file that exists is written; none at all: this version has nothing of the kind. optional: no file is no error."""

    def __init__(self, controller: str, node: Node, *choices: tuple[str, str], optional: bool = False) -> None:
        self.controller = controller
        self.node = node
        self.choices = choices
        self.optional = optional

    @property
    def name(self) -> str:
        """The file that is written first of all, "" if there is none."""
        return self.choices[0][0] if self.choices else ""

    def file(self, directory: str) -> tuple[str, str]:
        """The file to be written and its value; two empty strings if there is none and need not be.

        Raises EngineError.
        """
        for file, value in self.choices:
            if os.path.exists(f"{directory}/{file}"):
                return file, value
        if self.optional:
            return "", ""
        names = " nor ".join(file for file, _ in self.choices)
        raise self.node.wrong(f"this kernel's cgroups have no {names}")

    def write(self, directory: str) -> None:
        """Write it. Raises RefusedError if the kernel refuses the value, EngineError if it has no such file."""
        file, value = self.file(directory)
        if not file:
            return
        try:
            syscalls.write_file(f"{directory}/{file}", value)
        except SyscallError as error:
            raise RefusedError(self, file, value, error) from None


class RefusedError(SyscallError):
    """The kernel did not take a value: the place in the document, the file, and why."""

    def __init__(self, setting: Setting, file: str, value: str, error: SyscallError) -> None:
        hint = "it is in use, or more than that is" if error.errno == errno.EBUSY else error.hint
        super().__init__(error.call, error.errno, hint)
        wrong = setting.node.wrong(f"{file} does not take {value!r}: {error.why}", hint)
        self.what, self.why = wrong.what, wrong.why
