"""Run a command in the virtual machine. Whatever happens, the machine ends with us."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.vm.architecture import Architecture
from tests.vm.rootfs import CACHE, REPOSITORY, RootFileSystem

PROBE_SECONDS = 30  # on a busy machine; a boot takes one or two
MEMORY = "2G"
PROCESSORS = 2
KVM = ["-accel", "kvm", "-cpu", "host"]
EMULATED = ["-accel", "tcg,thread=multi,tb-size=512"]


class MachineError(Exception):
    """The machine ended without the exit code of its command. The text holds the end of what its kernel said."""


def run(
    words: Sequence[str], architecture: Architecture, files: RootFileSystem, seconds: float, results: Path | None = None
) -> int:
    """Run a command at the top of the working tree inside; its output goes to ours as it comes. Its exit code.

    results: a directory for what the command leaves in /mnt/results. Raises MachineError also when time is up.
    """
    with tempfile.TemporaryDirectory(prefix="run-", dir=CACHE) as name:
        share = Path(name)
        (share / "results").mkdir()
        (share / "tree").write_text(str(REPOSITORY))
        (share / "command").write_text(f"exec {shlex.join(words)}\n")
        shutil.copy(Path(__file__).with_name("guest.sh"), share)
        processor = KVM if kvm_works(architecture, files) else [*EMULATED, "-cpu", architecture.processor]
        command = [*base(architecture, files), *processor, *devices(share, files)]
        in_time = attend([*command, "-serial", f"file:{share}/console"], seconds)
        if results is not None:
            shutil.copytree(share / "results", results, dirs_exist_ok=True)
        if not (share / "exit_code").exists():
            console = (share / "console").read_text(errors="replace")[-4000:]
            why = "it ended without an exit code" if in_time else f"not finished after {seconds:g} seconds"
            raise MachineError(f"{why}; the end of its console:\n{console}")
        return int((share / "exit_code").read_text())


def base(architecture: Architecture, files: RootFileSystem) -> list[str]:
    """A machine without disks: what it is, and what it boots."""
    command = ["setpriv", "--pdeathsig", "KILL", architecture.qemu, "-machine", architecture.machine]
    command += ["-smp", str(PROCESSORS), "-m", MEMORY, "-nodefaults", "-no-user-config", "-no-reboot"]
    command += ["-display", "none", "-kernel", str(files.kernel), "-initrd", str(files.initramfs)]
    return [*command, "-append", f"console={architecture.console} quiet panic=-1 mitigations=off"]


def devices(share: Path, files: RootFileSystem) -> list[str]:
    """Its disk, whose changes are thrown away; the shares; and a line by which its output comes to QEMU's."""
    disk = ["-drive", f"file={quoted(files.image)},format=raw,if=virtio,snapshot=on,cache=unsafe"]
    tree = ["-virtfs", f"local,path={quoted(REPOSITORY)},mount_tag=tree,security_model=none,readonly=on"]
    run = ["-virtfs", f"local,path={quoted(share)},mount_tag=run,security_model=none"]
    line = ["-device", "virtio-serial", "-chardev", "file,id=output,path=/dev/stdout"]
    return [*disk, *tree, *run, *line, "-device", "virtserialport,chardev=output,nr=1"]


def quoted(path: Path) -> str:
    """A path as a value in an option of QEMU, where a comma ends it."""
    return str(path).replace(",", ",,")


def kvm_works(architecture: Architecture, files: RootFileSystem) -> bool:
    """Whether a kernel boots with it. /dev/kvm may be there and hang: only trying tells."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    try:
        probe = [*base(architecture, files), *KVM]
        ended = subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def attend(command: list[str], seconds: float) -> bool:
    """Run QEMU, pass on what it prints as it comes, and kill it when time is up or we have to go: False if it was."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as machine:
        alarm = threading.Timer(seconds, machine.kill)
        alarm.start()
        try:
            assert machine.stdout is not None
            while piece := os.read(machine.stdout.fileno(), 1 << 16):
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
            return machine.wait() != -signal.SIGKILL
        finally:
            alarm.cancel()
            machine.kill()
