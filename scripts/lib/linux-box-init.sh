#!/bin/busybox sh
# shellcheck shell=dash
# The first process of the guest: mounts what a system has, runs /guest/main.sh with fd 3 leading out of the box, and switches off.
# An early end of this process is a kernel panic, which ends the emulator too.
/bin/busybox --install -s
export PATH=/usr/sbin:/usr/bin HOME=/root

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t bpf bpffs /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
chmod 1777 /dev/shm /tmp
ln -sf /proc/self/fd /dev/fd
ip link set lo up

exec </dev/null 3>/dev/vport0p1
cd /root || exit
# shellcheck source=/dev/null
. /guest/main.sh
sync
poweroff -f
