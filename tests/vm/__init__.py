"""The tests on a machine that this one need not be: Debian's kernel, cgroup version 2 alone, in QEMU.

`architecture` says what differs between machines; `rootfs` builds the root file system, once; `initramfs` what the
kernel starts before it can mount that; `machine` runs QEMU; `guest.sh` is the first process inside.
"""
