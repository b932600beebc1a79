"""`python3 -m tests.lessons README…`: play lessons so that one can watch."""

import sys

from tests.lessons.run import play

sys.exit(max(play(readme, watch=True) for readme in sys.argv[1:]))
