#!/bin/sh
# Makes the root file system of the image `flask`, and prints the path of its archive. The server is gunicorn, as flask's
# own is for development only; libraries are compiled, or each start would do that anew.
exec "$(dirname "$0")/../debian.sh" flask python3-flask,python3-redis,gunicorn \
    --extract-hook='chroot "$1" python3 -m compileall -q /usr/lib'
