#!/bin/sh
# Makes the root file system of the image `redis`, and prints the path of its archive. The server's program is in the
# tools: it also checks files of its own, when it is called by that name.
exec "$(dirname "$0")/../debian.sh" redis redis-tools \
    --extract-hook='ln -s redis-check-rdb "$1/usr/bin/redis-server"' \
    --extract-hook='echo redis:x:999:999:redis:/data:/bin/false >>"$1/etc/passwd"' \
    --extract-hook='echo redis:x:999: >>"$1/etc/group"' \
    --extract-hook='mkdir "$1/data" && chown 999:999 "$1/data"'
