#!/bin/sh
# Proves `vagrant up && make ch04`: with a box made of Debian packages, a libvirtd of our own, and QEMU.
#
# CHAPTER and TESTS choose what runs inside (TESTS is pytest's -k), RELEASE the Debian.
# Runs as root, on a Debian for amd64; takes about 16 minutes where QEMU has to emulate the processor.
set -eu

cd "$(dirname "$0")/../.."
CHAPTER=${CHAPTER:-ch04}
TESTS=${TESTS:-"(test_attacks or test_volumes or test_user) and ch04_images]"} # all would take hours in emulation
PACKAGES="vagrant vagrant-libvirt libvirt-daemon-system libvirt-clients dnsmasq-base iptables qemu-utils mmdebstrap"
PACKAGES="$PACKAGES slirp4netns e2fsprogs rsync openssh-client qemu-system-x86"

say() {
    printf '\n== %s (%s s)\n' "$*" "$(($(date +%s) - STARTED))"
}

# limited SECONDS COMMAND…: nothing here waits for input, or for ever.
limited() {
    seconds=$1
    shift
    timeout --kill-after=10 "$seconds" "$@" </dev/null
}

install_packages() {
    # shellcheck disable=SC2086
    if ! dpkg-query -W $PACKAGES >/dev/null 2>&1; then
        limited 300 apt-get update -qq
        DEBIAN_FRONTEND=noninteractive limited 600 apt-get install -y -qq --no-install-recommends $PACKAGES >/dev/null
    fi
}

# Mounts and processes of our own: the kernel removes them with us, however we end.
enter_namespaces() {
    exec unshare --mount --pid --fork --kill-child --mount-proc "$0" inside
}

# And a network of our own, with its bridges and firewall; what is to go outside, slirp4netns carries there as any process may.
enter_network() {
    mkdir -p /run/netns
    mount -t tmpfs none /run/netns
    ip netns add outside
    slirp4netns --configure --mtu=1500 --disable-host-loopback --netns-type=path /run/netns/outside uplink \
        >/dev/null 2>&1 </dev/null &
    echo "nameserver 10.0.2.3" >/run/netns/resolv.conf # slirp4netns' own
    mount --bind /run/netns/resolv.conf /etc/resolv.conf
    exec ip netns exec outside "$0" prove
}

prove() {
    WORK=$(mktemp -d /var/tmp/mydocker-vagrant.XXXXXX)
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    export VAGRANT_HOME="$WORK/home" VAGRANT_DOTFILE_PATH="$WORK/machine" VAGRANT_DEFAULT_PROVIDER=libvirt
    export VAGRANT_CHECKPOINT_DISABLE=1
    mkdir "$VAGRANT_HOME"

    say "the box"
    limited 900 tests/vagrant/build_box.sh "$WORK"
    export VAGRANT_BOX="$WORK/debian.box"
    say "libvirtd"
    . tests/vagrant/hypervisor.sh
    start_hypervisor
    say "vagrant validate"
    limited 120 vagrant validate
    limited 120 vagrant validate --ignore-provider
    say "vagrant up"
    limited 1800 vagrant --no-tty up
    say "make $CHAPTER TESTS='$TESTS', from outside"
    limited 1800 make VM=1 "TESTS=$TESTS" MYDOCKER_TEST_PATIENCE=300 "$CHAPTER"
    say "vagrant ssh, then make doctor"
    limited 600 vagrant ssh -c 'make doctor'
    say "vagrant destroy"
    limited 120 vagrant destroy --force
    say "all is well"
}

clean_up() {
    status=$?
    limited 120 vagrant destroy --force >/dev/null 2>&1 || true
    [ "$status" -eq 0 ] || tail -n 30 "$WORK"/*.log
    rm -rf "$WORK"
    exit "$status"
}

STARTED=${STARTED:-$(date +%s)}
export STARTED
case ${1:-} in
"") install_packages && enter_namespaces ;;
inside) enter_network ;;
prove) prove ;;
esac
