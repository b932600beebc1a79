#!/bin/sh
# Makes the root file system of the image `nginx`, and prints the path of its archive.
exec "$(dirname "$0")/../debian.sh" nginx nginx
