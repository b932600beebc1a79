"""Run every benchmark of this folder."""

from tests.bench import attach, build, engine, image, import_tar, ipam, lifecycle, many, network, pull, runtime, start

start.main()
image.main()
lifecycle.main()
runtime.main()
import_tar.main()
ipam.main()
attach.main()
network.main()
pull.main()
build.main()
engine.main()
many.main()
