"""Run every benchmark of this folder."""

from tests.bench import import_tar, start

start.main()
import_tar.main()
