# shellcheck shell=sh
# A libvirtd without systemd, which leaves the machine's own alone: for run.sh, in its namespaces, with its $WORK.

libvirt() {
    limited 60 virsh --quiet --connect qemu:///system "$@"
}

start_hypervisor() {
    for directory in /etc /run /var/lib /var/cache /var/log; do
        mkdir -p "$directory/libvirt"
        mount -t tmpfs none "$directory/libvirt"
    done
    configure_qemu
    for daemon in virtlogd libvirtd; do
        $daemon --pid-file "$WORK/$daemon.pid" >"$WORK/$daemon.log" 2>&1 </dev/null &
    done
    for _ in $(seq 60); do
        if libvirt version >/dev/null 2>&1; then break; fi
        sleep 1
    done
    libvirt version
    mkdir "$WORK/pool"
}

# Vagrant reads the Vagrantfile in its home before that of the project: what this machine needs is said there.
configure_qemu() {
    # No cgroups, no security driver, no namespaces: libvirt would leave some of it on this machine, or need systemd.
    cat >/etc/libvirt/qemu.conf <<'END'
user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
END
    if kvm_works; then
        driver=kvm cpu=host-passthrough
    else
        echo "KVM does not work here: the processor is emulated"
        hide_kvm
        driver=qemu cpu=maximum
    fi
    cat >"$VAGRANT_HOME/Vagrantfile" <<END
Vagrant.configure("2") do |config|
  config.ssh.insert_key = false
  config.vm.provider "libvirt" do |machine|
    machine.driver = "$driver"
    machine.cpu_mode = "$cpu"
    machine.graphics_type = "none"
    machine.video_type = "none"
    machine.disk_driver cache: "unsafe"
    machine.storage_pool_path = "$WORK/pool"
    machine.kernel = "$WORK/vmlinuz" # the box has no boot loader
    machine.initrd = "$WORK/initrd.img"
    machine.cmd_line = "root=/dev/vda rw net.ifnames=0 mitigations=off quiet console=ttyS0"
  end
end
END
}

# Some machines have a /dev/kvm on which a guest never gets anywhere. Ours has nothing to boot from, so it panics, reboots,
# and with that QEMU ends.
kvm_works() {
    [ -e /dev/kvm ] && limited 20 qemu-system-x86_64 -accel kvm -nodefaults -display none -no-reboot \
        -kernel "$WORK/vmlinuz" -append "panic=-1" >/dev/null 2>&1
}

# By a file that can't be written to, not even by root: libvirt then takes it that there is none.
hide_kvm() {
    [ -e /dev/kvm ] || return 0
    : >"$WORK/no-kvm"
    mount --bind "$WORK/no-kvm" /dev/kvm
    mount -o remount,bind,ro /dev/kvm
}
