#!/bin/busybox sh
# The kernel's first process: finds the disk and the share `run`, and gives way to guest.sh there.
# Without a disk it only shows that the machine runs, and switches it off.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t devtmpfs none /dev
for module in /modules/*; do insmod "$module"; done
if [ -b /dev/vda ]; then
    mount -t ext4 -o noatime /dev/vda /new
    mount -t 9p -o trans=virtio,version=9p2000.L run /new/mnt
    mount --move /proc /new/proc
    mount --move /dev /new/dev
    exec switch_root /new /bin/sh /mnt/guest.sh
fi
poweroff -f
