"""`python3 -m tests.lessons README…`: play lessons, each after those that it leads to, so that one can watch."""

import subprocess
import sys
from pathlib import Path

from tests.lessons.run import lessons_of, play


def make_images(lesson: Path) -> None:
    """What a lesson needs of the network, as it is played without one."""
    for script in sorted(lesson.parent.glob("build*.sh")):
        subprocess.run([script.resolve()], stdout=subprocess.DEVNULL, check=True)


def play_all(readme: str) -> int:
    """The exit code: 0 if all answered as printed."""
    codes = []
    for lesson in lessons_of(Path(readme).parent):
        make_images(lesson)
        codes.append(play(lesson, watch=True))
    return max(codes)


sys.exit(max(play_all(readme) for readme in sys.argv[1:]))
