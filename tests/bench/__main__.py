"""Run every benchmark of this folder."""

from tests.bench import image, import_tar, start

start.main()
image.main()
import_tar.main()
