#!/bin/sh
# Process 1 of a virtual machine (variant "minimal"): network, the application, a
# way in for the host, nothing else. Containers and chroots start the application directly.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
seed=/run/vcompare-seed
mount -t sysfs sys /sys
ip link set lo up
if [ -r "$seed/env" ]; then
    . "$seed/env"
    ip address add "$VC_ADDRESS" dev eth0
    ip link set eth0 up
    [ -z "$VC_GATEWAY" ] || ip route add default via "$VC_GATEWAY"
    echo "$VC_NAME" > /proc/sys/kernel/hostname
fi
# The application comes first: what follows must not delay its first reply.
if [ -s "$seed/command" ]; then
    set --
    while IFS= read -r word || [ -n "$word" ]; do
        set -- "$@" "$word"
    done < "$seed/command"
    "$@" > /dev/console 2>&1 < /dev/null &
    application=$!
fi
mkdir -p /dev/pts /dev/shm /run/sshd
mount -t devpts -o mode=0620,gid=5,ptmxmode=0666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=1777 tmp /tmp
if [ -n "${VC_DATA:-}" ]; then
    # A disk of its own; a front end of Xen's comes up in its own time. Who can be reached has it mounted.
    tries=0
    while [ ! -b "$VC_DATA" ] && [ "$tries" -lt 300 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    mount -t ext4 "$VC_DATA" /mnt
fi
if [ -r "$seed/authorized_keys" ]; then
    /usr/sbin/sshd -f /usr/lib/vcompare/sshd_config -D &
fi
trap 'exec /usr/lib/vcompare/poweroff' TERM INT PWR
# Orphans of ended commands are ours to reap; wait returns at each of them.
while [ -n "${application:-}" ] && kill -0 "$application" 2> /dev/null; do
    wait "$application"
    code=$?
done
# Who waits for its reply reads this (starting.py).
[ -z "${application:-}" ] || echo "vcompare: the application ended with $code" > /dev/console
while :; do
    sleep 3600 &
    wait $! || sleep 1
done
