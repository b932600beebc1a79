"""Run every benchmark of this folder."""

from tests.bench import start

start.main()
