#!/bin/sh
# The first process on the real root file system: a machine without systemd, with cgroup version 2.
# The share at /mnt holds the path of the working tree and the command, and takes its exit code.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8

mkdir -p /dev/pts /dev/shm
mount -t sysfs none /sys
mount -t devpts -o gid=5,mode=620,ptmxmode=666 none /dev/pts
mount -t tmpfs none /dev/shm
mount -t tmpfs -o mode=755 none /run
mount -t cgroup2 none /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ip link set lo up
hostname vm
modprobe -a fuse loop

# The working tree, read-only, at the path that it has outside. What is written over it (bytecode) stays inside.
tree=$(cat /mnt/tree)
mkdir -p /srv/tree /srv/upper /srv/work "$tree"
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose tree /srv/tree
mount -t overlay -o lowerdir=/srv/tree,upperdir=/srv/upper,workdir=/srv/work none "$tree"
cd "$tree" || exit

for packages in /opt/venv/lib/python3*/site-packages; do
    [ -d "$packages" ] && echo "$tree" >"$packages/tree.pth"
done
python3 -m compileall -q ch0* final # once, instead of at each start of the engine

sh /mnt/command </dev/null >"/dev/$(ls /sys/class/virtio-ports)" 2>&1
echo $? >/mnt/exit_code.new && mv /mnt/exit_code.new /mnt/exit_code
sync
echo o >/proc/sysrq-trigger
sleep 60
