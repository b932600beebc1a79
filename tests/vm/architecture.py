"""What differs between processor architectures, as data."""

from __future__ import annotations

import os
from typing import NamedTuple


class Architecture(NamedTuple):
    """How to emulate one kind of machine: Debian's packages for it, and QEMU's names."""

    qemu: str
    """The program."""
    qemu_package: str
    kernel_package: str
    machine: str
    """QEMU's -machine."""
    processor: str
    """QEMU's -cpu for emulation: a plain one, for each feature that a program finds takes time to emulate."""
    console: str
    """The kernel's name of the first serial port."""


ARCHITECTURES = {
    "x86_64": Architecture("qemu-system-x86_64", "qemu-system-x86", "linux-image-amd64", "pc", "qemu64", "ttyS0"),
    "aarch64": Architecture(
        "qemu-system-aarch64", "qemu-system-arm", "linux-image-arm64", "virt", "cortex-a57", "ttyAMA0"
    ),
}


def this_machine() -> Architecture:
    """The one that we run on: KVM can only run the same. Raises SystemExit for one that we do not know."""
    name = os.uname().machine
    if name not in ARCHITECTURES:
        raise SystemExit(f"test-vm: no virtual machine for {name}, only for {' and '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]
