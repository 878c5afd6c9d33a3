#!/bin/sh
# The application of a virtual machine with Docker in it: a daemon, the one container image from a disk that is its
# archive, and the instance's application in a container on the machine's own network. No bridge and no firewall rules of
# Docker's: what they need is not in the small initrd, and the machine's card is the container's.
# docker-host DEVICE REFERENCE MEMORY-MIB COMMAND...
set -eu
device=$1 reference=$2 memory=$3
shift 3
log=/run/dockerd.log
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# Without it no AppArmor, which a container has on the host, too.
mount -t securityfs securityfs /sys/kernel/security || echo "docker-host: no securityfs"
# The root is an overlay already, and those can't be stacked for Docker.
mkdir -p /var/lib/docker
mount -t tmpfs -o mode=0711,size=90% docker /var/lib/docker
# By itself, as Debian's packages start it: a daemon that starts its own gives it fifteen seconds, whatever the machine.
socket=/run/containerd/containerd.sock
containerd --root /var/lib/docker/containerd --state /run/containerd --address "$socket" --log-level warn > "$log" 2>&1 &
daemon=$!
while [ ! -S "$socket" ]; do
    if ! kill -0 "$daemon" 2> /dev/null; then
        echo "docker-host: containerd ended:"
        tail -n 20 "$log"
        exit 1
    fi
    sleep 0.2
done
dockerd --containerd="$socket" --bridge=none --iptables=false --ip-forward=false --storage-driver=overlay2 >> "$log" 2>&1 &
daemon=$!
while [ ! -S /run/docker.sock ] || ! docker version > /dev/null 2>&1; do
    if ! kill -0 "$daemon" 2> /dev/null; then
        echo "docker-host: the daemon ended:"
        tail -n 20 "$log"
        exit 1
    fi
    sleep 0.2
done
docker load --quiet < "$device"
docker run --detach --name vc --network host --memory "${memory}m" --memory-swap "${memory}m" \
    --tmpfs "/run:rw,exec,size=${memory}m" --tmpfs "/tmp:rw,exec,size=${memory}m" "$reference" "$@"
echo "docker-host: the container runs"
wait "$daemon"
