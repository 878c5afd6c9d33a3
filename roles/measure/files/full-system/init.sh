#!/bin/sh
# What the initrd hands over to in a virtual machine with a whole system in it: the network is set up from the seed, as
# the minimal system's process 1 does it. What the machine is from then on is up to systemd.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
seed=/run/vcompare-seed
ip link set lo up
if [ -r "$seed/env" ]; then
    . "$seed/env"
    ip address add "$VC_ADDRESS" dev eth0
    ip link set eth0 up
    [ -z "$VC_GATEWAY" ] || ip route add default via "$VC_GATEWAY"
    # systemd would set the name to what the file says.
    echo "$VC_NAME" > /etc/hostname
fi
exec /sbin/init
