#!/bin/sh
# Builds a Vagrant box from Debian packages alone: build_box.sh DIR makes debian.box, vmlinuz and initrd.img there.
#
# It stands in for the box that Vagrant would download: systemd, sshd, sudo, rsync, the user vagrant, no more. The disk
# is one file system without a boot loader: the kernel is handed to the machine from outside. Where packages come from,
# and whom to trust, is taken from the machine that builds it.
set -eu

RELEASE=${RELEASE:-trixie}
DIR=$(realpath "$1")
ROOT=$DIR/rootfs
DISK_SIZE=12G
MIRROR=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
: "${MIRROR:?apt-get update first}"
PACKAGES=linux-image-cloud-amd64,initramfs-tools,zstd,systemd-sysv,systemd-resolved,dbus,udev,kmod,openssh-server
PACKAGES=$PACKAGES,sudo,rsync,ca-certificates,iproute2,procps,python3,apparmor
INITRD_MODULES="virtio_pci virtio_blk virtio_net ext4"

bootstrap() {
    mmdebstrap --quiet --mode=root --variant=minbase --include="$PACKAGES" \
        --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
        --essential-hook='echo MODULES=list >"$1/etc/initramfs-tools/conf.d/box"' \
        --essential-hook="printf '%s\n' $INITRD_MODULES >\"\$1/etc/initramfs-tools/modules\"" \
        "$RELEASE" "$ROOT" "deb $MIRROR $RELEASE main"
}

# A company's certificates and its Python index, should this machine have them: the box is behind the same doors.
trust_what_this_machine_trusts() {
    cp /usr/local/share/ca-certificates/*.crt "$ROOT/usr/local/share/ca-certificates/" 2>/dev/null || return 0
    chroot "$ROOT" update-ca-certificates >/dev/null 2>&1
}

configure_pip() {
    index=${PIP_INDEX_URL:-$(python3 -m pip config get global.index-url 2>/dev/null || true)}
    printf '[global]\ntimeout = 120\n%s\n' "${index:+index-url = $index}" >"$ROOT/etc/pip.conf"
}

# What Vagrant expects of every box: https://developer.hashicorp.com/vagrant/docs/boxes/base
add_user_vagrant() {
    chroot "$ROOT" useradd --create-home --shell /bin/bash vagrant
    echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$ROOT/etc/sudoers.d/vagrant"
    install -d -m 700 "$ROOT/home/vagrant/.ssh"
    key=$(dpkg -L vagrant | grep '/keys/vagrant.pub$')
    install -m 600 "$key" "$ROOT/home/vagrant/.ssh/authorized_keys"
    chroot "$ROOT" chown -R vagrant:vagrant /home/vagrant/.ssh
}

configure_system() {
    echo box >"$ROOT/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 box\n' >"$ROOT/etc/hosts"
    echo '/dev/vda / ext4 defaults,noatime 0 1' >"$ROOT/etc/fstab"
    printf '[Match]\nName=e*\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n' >"$ROOT/etc/systemd/network/80-dhcp.network"
    ln -sf /run/systemd/resolve/stub-resolv.conf "$ROOT/etc/resolv.conf"
    systemctl --root="$ROOT" enable --quiet systemd-networkd systemd-resolved ssh
    systemctl --root="$ROOT" mask --quiet systemd-networkd-wait-online apt-daily.timer apt-daily-upgrade.timer
    : >"$ROOT/etc/machine-id"
}

pack() {
    cp "$ROOT"/boot/vmlinuz-* "$DIR/vmlinuz"
    cp "$ROOT"/boot/initrd.img-* "$DIR/initrd.img"
    truncate -s "$DISK_SIZE" "$DIR/disk.raw"
    mke2fs -q -t ext4 -d "$ROOT" "$DIR/disk.raw"
    qemu-img convert -O qcow2 "$DIR/disk.raw" "$DIR/box.img"
    echo "{\"provider\": \"libvirt\", \"format\": \"qcow2\", \"virtual_size\": ${DISK_SIZE%G}}" >"$DIR/metadata.json"
    tar -C "$DIR" -cf "$DIR/debian.box" metadata.json box.img
    rm -rf "$ROOT" "$DIR/disk.raw" "$DIR/box.img" "$DIR/metadata.json"
}

bootstrap
trust_what_this_machine_trusts
configure_pip
add_user_vagrant
configure_system
pack
