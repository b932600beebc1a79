"""Labels by which AppArmor and SELinux know the command. Book section 7.3.

OCI runtime-spec, config.md, "Linux Process", and config-linux.md, "Mount Label". Such a label is written down in /proc
and becomes true at execve(2). At `create` these parts stand between the last hook and PivotRoot: the /proc to which
they write is still the host's. `exec` has only the container's, and looks whether it is one: what an image has made up
would swallow the label (CVE-2019-16884).
"""

from __future__ import annotations

import os

from ch02_namespaces import syscalls
from ch03_run.container import Container, Part
from ch07_practice.oci.document import Node
from final.runtime import procfs

APPARMOR = "/sys/module/apparmor/parameters/enabled"
APPARMOR_EXEC, EXEC = "self/attr/apparmor/exec", "self/attr/exec"  # of /proc
SELINUX = "/sys/fs/selinux/enforce"


class AppArmorProfile(Part):
    """process.apparmorProfile: a profile that the kernel has loaded, or `unconfined`. apparmor(7)."""

    section = "7.3"

    def __init__(self, node: Node) -> None:
        self._profile = node.text("")
        if self._profile and not _says(APPARMOR, "Y"):
            raise node.wrong("this kernel has no AppArmor", "leave it out")
        self._file = APPARMOR_EXEC if os.path.exists(f"/proc/{APPARMOR_EXEC}") else EXEC

    def enter(self, container: Container) -> None:
        if self._profile:
            procfs.write(self._file, f"exec {self._profile}")


class SelinuxLabel(Part):
    """process.selinuxLabel: the context of the command. selinux(8)."""

    section = "7.3"

    def __init__(self, node: Node) -> None:
        self._label = node.text("")
        if self._label and not os.path.exists(SELINUX):
            raise node.wrong("this kernel has no SELinux", "leave it out")

    def enter(self, container: Container) -> None:
        if self._label:
            procfs.write(EXEC, self._label)


def check_mount_label(node: Node) -> None:
    """linux.mountLabel: the context of all mounts. Raises EngineError if there is one: nothing here sets it."""
    if node.text(""):
        without = not os.path.exists(SELINUX)
        raise node.wrong("this kernel has no SELinux" if without else "mounts cannot be labelled yet", "leave it out")


def _says(path: str, word: str) -> bool:
    return os.path.exists(path) and syscalls.read_file(path) == word
