#!/bin/busybox sh
# First user space of a virtual machine: finds the root file system, lays a
# temporary layer over it (it is read-only and shared by all arms) and hands over.
busybox=/bin/busybox
$busybox mount -t devtmpfs dev /dev
$busybox mount -t proc proc /proc

probe=''
for word in $($busybox cat /proc/cmdline); do
    case "$word" in
        vcompare.probe=1) probe=yes ;;
    esac
done
if [ -n "$probe" ]; then
    # The acceleration ladder's last rung: user space was reached.
    echo VCOMPARE-USERSPACE
    $busybox poweroff -f
fi

if [ -d /proc/xen ] || $busybox grep -q . /sys/hypervisor/type 2>/dev/null; then
    xen=yes
else
    $busybox mount -t sysfs sys /sys
    xen=''
    [ -e /sys/hypervisor/type ] && xen=yes
fi
# A fully virtualised guest of Xen has it under the first name that is not emulated as well.
if [ -n "$xen" ]; then disks='/dev/xvda /dev/xvde'; set -- xen; else disks=/dev/vda; set -- virtio; fi
for module in $($busybox cat "/modules.$1" /modules.common); do
    $busybox insmod "/modules/$module" || echo "vcompare: module $module was not loaded"
done

tries=0
disk=''
while :; do
    for name in $disks; do
        [ ! -b "$name" ] || disk=$name
    done
    [ -z "$disk" ] || break
    tries=$((tries + 1))
    if [ "$tries" -gt 3000 ]; then
        echo "vcompare: no disk $disks after 30 s"
        $busybox poweroff -f
    fi
    $busybox usleep 10000
done
$busybox mkdir -p /lower /layer /new
$busybox mount -t ext4 -o ro "$disk" /lower || $busybox poweroff -f
$busybox mount -t tmpfs -o mode=0755 layer /layer
$busybox mkdir /layer/upper /layer/work
$busybox mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work root /new
$busybox mount -t tmpfs -o mode=0755 run /new/run
if [ -d /vcompare-seed ]; then
    $busybox cp -a /vcompare-seed /new/run/vcompare-seed
    $busybox chmod 0700 /new/run/vcompare-seed
fi
$busybox mount --move /dev /new/dev
$busybox mount --move /proc /new/proc
$busybox umount /sys 2>/dev/null
exec $busybox switch_root /new /usr/lib/vcompare/init
