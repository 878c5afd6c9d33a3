#!/usr/bin/env bash
# A server in use: Docker's own packages with a container of somebody else, and /boot on LVM.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly server=site-12

# What its administrator did before us.
put_boot_on_lvm() {
    # shellcheck disable=SC2016
    on "$server" 'set -e; modprobe dm_mod; pvcreate -q /dev/vdb; vgcreate -q site /dev/vdb; lvcreate -q -n boot -l 100%FREE site
        mkfs.ext4 -q /dev/site/boot; mount /dev/site/boot /mnt; cp -a /boot/. /mnt/; umount /mnt; mount /dev/site/boot /boot
        echo "/dev/site/boot /boot ext4 defaults 0 2" >>/etc/fstab; update-grub 2>&1; grub-probe --target=abstraction /boot/grub' | grep -q lvm
}

start_container() {
    on "$server" 'tar -C / -c bin/busybox | docker import - theirs:1 && docker run --detach --name theirs --restart always theirs:1 /bin/busybox sleep 1000000' &&
        sleep 5 && running_since >"$SERVERS_FOLDER/since" && grep -q StartedAt "$SERVERS_FOLDER/since"
}

running_since() { on "$server" 'docker inspect theirs | grep -E "\"(StartedAt|Pid|RestartCount|Running)\":"; systemctl show docker --property MainPID'; }

still_running() { diff "$SERVERS_FOLDER/since" <(running_since); }

compared() {
    vc compare -i "$SERVERS_INVENTORY" --arms bare,docker --profile smoke --blocks 1
    as_asked bare,docker
}

xen_refused() {
    refused 2 'on ext2 on lvm, where GRUB can.t clear a one-time boot entry' 'Put /boot on a plain partition' \
        -- vc compare -i "$SERVERS_INVENTORY" --arms xen-pv --profile smoke --blocks 1 --allow reboot
}

step "its administrator puts /boot on LVM" put_boot_on_lvm || exit 1
step "its administrator starts a container under Docker CE" start_container || exit 1
step "what the server has" manifests before || exit 1
step "Xen is refused, since GRUB can't boot it once there" xen_refused
step "nothing was changed for Xen" unchanged
step "bare and Docker are measured" compared
step "the container and its daemon run since before" still_running
step "release takes everything of ours off" released
step "a second release has nothing to do" nothing_released
step "the server is as before, but for the packages that release names" as_before
step "the container and its daemon run since before" still_running
summary
