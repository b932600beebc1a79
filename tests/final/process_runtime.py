"""A runtime with the parts that concern the process, and no others of production."""

from __future__ import annotations

import sys
from pathlib import Path

from ch02_namespaces.command_line import leave
from ch03_run.container import Part
from ch07_practice.oci import runtime, state
from ch07_practice.oci.bundle import Bundle
from ch07_practice.oci.cli import Commands, main
from ch07_practice.oci.namespaces import Namespaces
from ch07_practice.oci.process import User
from ch07_practice.oci.root import PivotRoot
from final.runtime.capabilities import Credentials
from final.runtime.labels import AppArmorProfile, SelinuxLabel, check_mount_label
from final.runtime.no_new_privileges import NoNewPrivileges
from final.runtime.oom_score import OomScore
from final.runtime.personality import Personality
from final.runtime.rlimits import ResourceLimits
from final.runtime.scheduling import ExecAffinity, IoPriority, Scheduler
from final.runtime.seccomp import Seccomp


class Runtime(runtime.Runtime):
    """Chapter 7's, with these parts."""

    def parts_of(self, bundle: Bundle, kept: state.Kept, namespaces: Namespaces, streams: Part) -> list[Part]:
        """The list as final has it, as far as the process goes."""
        process, linux = bundle.config["process"], bundle.config["linux"]
        check_mount_label(linux["mountLabel"])
        parts = super().parts_of(bundle, kept, namespaces, streams)
        pivot = next(number for number, part in enumerate(parts) if isinstance(part, PivotRoot))
        parts[pivot:pivot] = [AppArmorProfile(process["apparmorProfile"]), SelinuxLabel(process["selinuxLabel"])]
        assert type(parts.pop()) is User
        told = lambda pid: kept.state(state.CREATING) | {"pid": pid}  # noqa: E731
        seccomp: list[Part] = [Seccomp(linux["seccomp"], told)] if linux["seccomp"] else []
        late = process["noNewPrivileges"].flag()
        return [
            *parts,
            OomScore(process["oomScoreAdj"]),
            *([Scheduler(process["scheduler"])] if process["scheduler"] else []),
            *([IoPriority(process["ioPriority"])] if process["ioPriority"] else []),
            *([ExecAffinity(process["execCPUAffinity"])] if process["execCPUAffinity"] else []),
            *([Personality(linux["personality"])] if linux["personality"] else []),
            NoNewPrivileges(process["noNewPrivileges"]),
            ResourceLimits(process["rlimits"]),
            *([] if late else seccomp),
            Credentials(process),
            *(seccomp if late else []),
        ]


def run_words(root: Path, bundle: Path) -> list[str]:
    """The command line that runs a bundle as the container `box`, for those who start it in a way of their own."""
    return [sys.executable, "-m", "tests.final.process_runtime", "--root", str(root), "run", "-b", str(bundle), "box"]


if __name__ == "__main__":
    leave(main(Commands(Runtime), sys.argv[1:]))
