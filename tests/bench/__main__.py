"""Run every benchmark of this folder."""

from tests.bench import image, import_tar, lifecycle, start

start.main()
image.main()
lifecycle.main()
import_tar.main()
