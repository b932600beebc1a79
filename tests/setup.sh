#!/bin/sh
# Installs what the repo needs: Debian packages that are missing, then a virtual environment in .venv. May be run again.
set -eu

cd "$(dirname "$0")/.."
# The distribution's own Python, if it is new enough: it is the one that root has, and the fastest to start.
NEW_ENOUGH='import sys; sys.exit(sys.version_info < (3, 11))'
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    if [ -x /usr/bin/python3 ] && /usr/bin/python3 -c "$NEW_ENOUGH"; then PYTHON=/usr/bin/python3; fi
fi
PACKAGES="python3-venv fuse3 iproute2 nftables procps util-linux busybox-static tini libseccomp2"
IMAGES="mmdebstrap" # makes chapter 7's; not needed in the virtual machine of the tests
ETCD="etcd-server" # for tests of networks across hosts; they are skipped where no package has this name
PACKAGES="$PACKAGES $IMAGES $*"

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

"$PYTHON" -c "$NEW_ENOUGH" || {
    echo "setup: $PYTHON is older than Python 3.11: use a newer one (PYTHON=python3.12 make setup) or \`vagrant up\`" >&2
    exit 1
}

missing=""
if command -v dpkg-query >/dev/null; then
    for package in $PACKAGES; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing="$missing $package"
    done
else
    echo "setup: this is no Debian or Ubuntu; please install what these contain:$(printf ' %s' $PACKAGES)" >&2
fi
if [ -n "$missing" ]; then
    echo "setup: installing$missing"
    as_root apt-get update -qq
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

if command -v apt-get >/dev/null && ! command -v etcd >/dev/null; then
    if as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$ETCD" >/dev/null 2>&1; then
        # the tests start their own: this machine gets no service that it has not asked for
        as_root systemctl disable --now etcd >/dev/null 2>&1 || as_root service etcd stop >/dev/null 2>&1 || true
    else
        echo "setup: no package $ETCD: the tests of networks across hosts will be skipped" >&2
    fi
fi

[ -x .venv/bin/python3 ] || "$PYTHON" -m venv .venv
.venv/bin/python3 -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
# pip has made the programs that pyproject.toml names; ours start quicker.
sed -n 's|^\(mydocker[a-z-]*\) = "\(.*\)\.__main__:entry_point".*|\2 .venv/bin/\1|p' pyproject.toml |
    while read -r package program; do .venv/bin/python3 -m ch03_run.launcher "$package" "$program"; done
touch .venv/ready
