#!/bin/bash
# Pid 1 of a virtual machine: HOSTNAME HOSTS LOCAL BOOT_ID
# It makes what a machine has for itself, says so, and from then on only reaps orphans.
set -eu
hostname "$1"
ip link set lo up
mount --bind "$2" /etc/hosts
mount -t tmpfs -o mode=1777 tmpfs "$3"
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
# Test folders are in /tmp, which is shared therefore; what sprov itself puts there is the node's.
mkdir -p -m 0700 /tmp/sprov-0
mount -t tmpfs -o mode=0700 tmpfs /tmp/sprov-0
mount --bind "$4" /proc/sys/kernel/random/boot_id
echo ready
exec >/dev/null 2>&1
sleep infinity &
wait
