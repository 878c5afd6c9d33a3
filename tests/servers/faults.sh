#!/usr/bin/env bash
# What goes wrong at two plain servers: refused before anything is made, or said with what was done and how to go on.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# inventory NAME LINE...: a copy of the inventory with further lines; says where it is.
inventory() {
    local folder=$SERVERS_FOLDER/inventories/$1
    mkdir -p "$folder" && cp -r "${SERVERS_INVENTORY%/*}/." "$folder" && printf '%s\n' '' "${@:2}" >>"$folder/hosts.ini"
    echo "$folder/hosts.ini"
}

# compare_with INVENTORY ARMS
compare_with() { vc compare -i "$1" --arms "$2" --profile smoke --blocks 1 --scenarios startup,cpu --allow reboot; }

wrong_password() {
    local where
    where=$(inventory wrong-password '[xen_hosts:vars]' 'ansible_become_password=wrong') || return 1
    # Variables of a file beside the inventory come last.
    printf 'ansible_become_password: wrong\n' >"${where%/*}/group_vars/servers/vault.yml"
    refused 2 'plain-1[23].*password' 'remedy: nothing is asked for here' 'nothing was made on any server' -- compare_with "$where" bare,xen-pv
}

unreachable() {
    local where
    where=$(inventory unreachable '[servers]' 'plain-14 ansible_host=127.0.20.99 ansible_port=2299' '[docker_peers]' plain-14) || return 1
    refused 2 "plain-14: can't be reached" 'nothing was made on any server' -- compare_with "$where" bare,docker
}

two_names() {
    local where
    where=$(inventory two-names '[servers]' 'plain-twelve ansible_host=127.0.20.12 ansible_port=2212' '[docker_peers]' plain-twelve) || return 1
    refused 2 'plain-12 and plain-twelve are one machine' 'nothing was made on any server' -- compare_with "$where" bare,docker
}

named_twice() {
    local where
    where=$(inventory twice '[bare_hosts]' plain-12 plain-12) || return 1
    vc compare -i "$where" --arms bare --profile smoke --dry-run && (($(grep -c 'plain-12' "$SERVERS_FOLDER/said") > 0)) &&
        python -m vcompare_runner compare -i "$SERVERS_INVENTORY" --arms bare --profile smoke --dry-run >"$SERVERS_FOLDER/once" &&
        diff <(grep -v 'run' "$SERVERS_FOLDER/said") <(grep -v 'run' "$SERVERS_FOLDER/once")
}

no_space() {
    local code
    # shellcheck disable=SC2016
    on plain-12 'fallocate -l $(( ($(df --output=avail -B1M / | tail -n 1) - 300) ))M /filled' || return 1
    refused 2 'plain-12.*needs 600 MiB, and [23][0-9]* MiB are free' 'nothing was made on any server' -- compare_with "$SERVERS_INVENTORY" bare
    code=$?
    on plain-12 'rm /filled'
    return "$code"
}

# The jump host and all that goes through it, by its own process group.
cut_connection() {
    local jump
    jump=$(<"$SERVERS_FOLDER/jump.pid")
    # shellcheck disable=SC2046
    kill $(pgrep --parent "$jump") "$jump"
}

connect_again() {
    /usr/sbin/sshd -D -e -f "$SERVERS_FOLDER/ssh files/sshd_config" 2>>"$SERVERS_FOLDER/jump.log" &
    # shellcheck disable=SC2064
    trap "kill $!" EXIT
}

# In the middle of the copy; the second start sends only what is missing.
lost_in_the_middle() {
    compare_with "$SERVERS_INVENTORY" bare >"$SERVERS_FOLDER/lost" 2>&1 &
    local run=$! waited=0
    until grep -Eq 'image, (8|17|25) of [0-9]+ MB' "$SERVERS_FOLDER/said" 2>/dev/null; do
        sleep 0.2
        if ((waited += 1, waited > 6000)) || ! kill -0 "$run"; then cat "$SERVERS_FOLDER/lost" && return 1; fi
    done
    cut_connection
    wait "$run"
    local code=$?
    connect_again
    cat "$SERVERS_FOLDER/lost"
    ((code == 1)) && said 'lost 4 times while the image was sent' 'of [0-9]+ MB arrived and stay; start again'
}

resumed() {
    compare_with "$SERVERS_INVENTORY" bare
    said 'of [0-9]+ MB of the image are there already' && as_asked bare
}

# Xen starts, and its dom0 never finds its disk: only the console would show it.
lost_in_its_reboot() {
    local where
    where=$(inventory lost '[xen_hosts:vars]' 'xen_host_dom0_options=root=/dev/missing' 'xen_host_reboot_timeout=90') || return 1
    compare_with "$where" bare,xen-pv
    [[ $(<"$SERVERS_FOLDER/code") == 1 ]] && said 'plain-13 did not come back from its reboot into Xen' 'Look at its console' 'A power cycle brings back' &&
        said 'plain-12: block 1 of 1 done'
}

power_cycled() {
    local waited=0
    qmp plain-13 system_reset
    until on plain-13 true >/dev/null 2>&1; do ((waited += 1, waited < 60)) || return 1; done
    on plain-13 'test ! -e /proc/xen/capabilities && grub-editenv list' >"$SERVERS_FOLDER/grubenv" && ! grep -q 'next_entry=.' "$SERVERS_FOLDER/grubenv"
}

rm -f "$SERVERS_FOLDER/said"
step "what each server has" manifests before || exit 1
step "a wrong password of sudo" wrong_password
step "a server that can't be reached" unreachable
step "one machine under two names" two_names
step "a server that is named twice is one server" named_twice
step "no space on a server" no_space
step "nothing was made by any of these" unchanged
step "a connection that is lost while the image is sent" lost_in_the_middle
step "the second start goes on where the first was" resumed
step "a server that does not come back from its reboot: the others go on" lost_in_its_reboot
step "a power cycle brings its old system back" power_cycled
summary
