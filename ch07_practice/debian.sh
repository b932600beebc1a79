#!/bin/sh
# debian.sh NAME PACKAGE,… [OPTION…]: a root file system of the packages of the distribution that runs here; prints the
# path of its archive. It is made once, as root, and kept in .cache at the top of the repository.
#
# Packages come from this machine's mirrors, verified by apt as always, and are unpacked only: no script of theirs is run.
# What those would make, such as users, is made by the hooks below and those that mmdebstrap(1) gets as OPTION.
set -eu

name=$1 packages=$2
shift 2
command -v mmdebstrap >/dev/null || {
    echo "$name: there is no mmdebstrap here: \`make setup\` installs it; where there is no apt, \`docker export\` does it" >&2
    exit 1
}
top=$(cd "$(dirname "$0")/.." && pwd)
export SOURCE_DATE_EPOCH=1700000000 # no file is younger: the same packages make the same archive, byte for byte

. /etc/os-release
for sources in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list.d/ubuntu.sources /etc/apt/sources.list; do
    [ -s "$sources" ] && break
done
id=$({ cat "$0" "$sources" && echo "$packages" "$@"; } | sha256sum | cut -c 1-12)
archive=$top/.cache/images/$name-$VERSION_CODENAME-$(dpkg --print-architecture)-$id.tar

mkdir -p "$top/.cache/images"
exec 9>"$top/.cache/images/lock"
flock 9 # one at a time
if [ -s "$archive" ]; then
    echo "$archive"
    exit
fi

settings=$(mktemp)
trap 'rm -f "$settings" "$archive.new"' EXIT
trap 'exit 1' INT TERM
apt-config dump | grep '^Acquire::' >"$settings" # such as a proxy

echo "$name: making its root file system of packages; this takes half a minute, once" >&2
mmdebstrap --mode=root --variant=extract --format=tar --skip=chroot/mount,cleanup/apt,cleanup/mmdebstrap \
    --include="base-files,base-passwd,busybox-static,$packages" \
    --aptopt="$settings" --aptopt='Acquire::Retries "3"' --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/lib/*/gconv/*' \
    --extract-hook='for file in passwd group; do cp "$1/usr/share/base-passwd/$file.master" "$1/etc/$file"; done' \
    --extract-hook='for file in hosts hostname resolv.conf; do : >"$1/etc/$file"; done' \
    --extract-hook='echo "hosts: files dns" >"$1/etc/nsswitch.conf"' \
    --extract-hook='chroot "$1" /bin/busybox --install -s' \
    --extract-hook='rm -rf "$1/etc/apt" "$1/etc/dpkg" "$1/var/lib/apt" "$1/var/lib/dpkg" "$1"/var/cache/* "$1/var/log/apt"' \
    "$@" "$VERSION_CODENAME" "$archive.new" "$sources" >&2
chown --reference="$top" "$top/.cache" "$top/.cache/images" "$archive.new" # whoever has the repository may remove it
find "$top/.cache/images" -name "$name-*.tar" -delete # made of other packages
mv "$archive.new" "$archive"
echo "$name: $(($(stat -c %s "$archive") / 1000000)) MB, kept as $archive" >&2
echo "$archive"
