#!/usr/bin/env bash
# Faults of a lab that runs, and of a comparison in it: daemons and nodes are killed, connections cut, files truncated,
# clocks set, disks filled. After each, the next command has to go on, and no finished block may be lost.
# usage: VCOMPARE_TEST_FAULTS="node_killed disk_of_bundle" chooses among them. Needs root: a daemon of this machine is killed
# (libvirt's), and small file systems are mounted.
source "$(dirname "${BASH_SOURCE[0]}")/../lab.sh"

readonly vcompare=.venv/bin/vcompare
readonly short=(--profile smoke --scenarios "startup,cpu" --keep-running)
work=$(mktemp -d "${VCOMPARE_TEST_WORK:?a folder for what the tests write}/faults.XXXXXX") || exit 1
mounted=()
clear_up() {
    local folder
    for folder in "${mounted[@]}"; do mountpoint -q "$folder" && umount "$folder"; done
}
trap clear_up EXIT
trap 'exit 130' INT TERM

node() { .venv/bin/ansible "$1" -i inventories/nested -b -m ansible.builtin.shell -a "$2"; }
domain() { virsh -q list --name | grep -E -- "-$1\$"; }

# struck FAULT CODE BLOCKS MAY_FAIL ARMS: the fault strikes a comparison once its first block is on the controller's disk.
# It may end as CODE says (a pattern); where that is not a success it is resumed, after FAULT_mended where there is such.
struck() {
    local fault=$1 expected=$2 blocks=$3 may_fail=$4 arms=$5 mark code run process
    mark=$(mktemp "$work/mark.XXXXXX") || return 1
    sleep 1.1
    VCOMPARE_FAULT_TEST=1 "$vcompare" compare "${short[@]}" --blocks "$blocks" --arms "$arms" &
    process=$!
    first_block "$process" "$mark" || return 1
    mkdir -p "$work/$fault"
    cp "$run"/*.jsonl "$work/$fault/"
    echo "-- $fault"
    "$fault" "$run" || { kill -INT "$process"; wait "$process"; echo "the fault could not be made"; return 1; }
    wait "$process"
    code=$?
    echo "-- ended with $code"
    [[ $code =~ ^($expected)$ ]] || { echo "ended with $code instead of $expected" && return 1; }
    if declare -F "${fault}_mended" >/dev/null; then "${fault}_mended" "$run" || return 1; fi
    if ((code != 0 && code != 3)); then
        "$vcompare" compare --resume "$(basename "$run")" --keep-running
        code=$?
        ((code == 0 || code == 3)) || { echo "--resume ended with $code" && return 1; }
    fi
    .venv/bin/python tests/faults/kept.py "$run" --before "$work/$fault" --blocks "$blocks" --may-fail "$may_fail"
}

# -- what strikes a comparison

dockerd_dies() { node lab-linux 'pkill -KILL -x dockerd'; }
libvirtd_dies() { node lab-linux 'pkill -KILL -x libvirtd'; }
# Its machine goes with it, and so does whatever was measured there.
node_dies() { local name; name=$(domain lab-linux) && virsh -q destroy "$name"; }
# Only connections of the comparison's own: the clients, and the master that they share. Between two tasks there is no client.
connection_dies() {
    local pid cut=0 deadline=$((SECONDS + 120))
    until connections >/dev/null; do
        ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
    for pid in $(connections) $(marked); do
        [[ $(cat "/proc/$pid/comm" 2>/dev/null) == ssh ]] && kill -KILL "$pid" 2>/dev/null && cut=$((cut + 1))
    done
    echo "$cut processes of ssh were killed"
    ((cut))
}
connections() { pgrep -f "^(ssh|/usr/bin/ssh) .*$VCOMPARE_HOME/"; }
# In the turn of an arm of the second block, which costs that block's arm alone: b resets a node, and c has its kernel crash,
# which leaves it silent.
in_the_second_block() {
    local tag=${2##*-}
    node lab-linux "until grep -q 'vc-$tag-2-docker\"' /var/lib/vcompare/journal.jsonl; do sleep 0.2; done
        echo 1 >/proc/sys/kernel/sysrq; (sleep 1; echo $1 >/proc/sysrq-trigger) >/dev/null 2>&1 &"
}
node_resets() { in_the_second_block b "$1"; }
node_resets_mended() { said_of_docker "the host was reset, in the turn of docker" "$1"; }
node_hangs() { in_the_second_block c "$1"; }
node_hangs_mended() { said_of_docker "the host fell silent, and had to be reset, in the turn of docker" "$1"; }
said_of_docker() { grep -q "$1" "$2/blocks.jsonl" || { echo "it is not said: $1" && return 1; }; }
clock_jumps() { node lab-linux 'date -s "+1 hour"'; }
clock_jumps_mended() { node lab-linux 'date -s "-1 hour"'; }
# As a machine that is controller and lab server leaves it when it loses its power: nothing runs, and the last line of each
# file is half written. What was whole was there before.
power_fails() {
    local name pid
    for pid in $(marked); do kill -KILL "$pid" 2>/dev/null; done
    pkill -KILL -f "guest=$(domain lab-linux)"
    pkill -KILL -f "guest=$(domain lab-xen)"
    pkill -KILL -x libvirtd
    cp "$1"/*.jsonl "$work/power_fails/"
    for name in samples blocks proofs; do printf '{"schema": 1, "block": 2, "ho' >>"$1/$name.jsonl"; done
}
# What the comparison started, by what it has in its environment.
marked() {
    local folder
    for folder in /proc/[0-9]*; do
        ! grep -qsz '^VCOMPARE_FAULT_TEST=1$' "$folder/environ" || echo "${folder#/proc/}"
    done
}
disk_of_bundle_fills() { dd if=/dev/zero of="$VCOMPARE_HOME/runs/filler" bs=64k status=none 2>/dev/null; [[ -e $VCOMPARE_HOME/runs/filler ]]; }
disk_of_bundle_fills_mended() { rm -f "$VCOMPARE_HOME/runs/filler"; }

# small FOLDER MIB: a small, empty file system for it.
small() {
    local folder=$1
    mkdir -p "$folder"
    mount -t tmpfs -o "size=${2}m,mode=0700" vcompare-fault "$folder" || return 1
    mounted+=("$folder")
}

disk_of_bundle() {
    local code
    # Over the runs that are there, which come to light again whatever happens.
    small "$VCOMPARE_HOME/runs" 24 || return 1
    struck disk_of_bundle_fills "1" 2 "" bare,docker
    code=$?
    umount "$VCOMPARE_HOME/runs"
    return $code
}

# -- what strikes a lab

# The lab server's own daemon: the next command has it again, and the lab. Whether the machines went on is libvirt's: without
# systemd's control groups it ends what it can't find its way back to.
libvirtd_of_the_server() {
    local before after
    before=$(pgrep -f "guest=$(domain lab-linux)") || return 1
    pkill -KILL -x libvirtd
    "$vcompare" lab up || return 1
    after=$(pgrep -f "guest=$(domain lab-linux)")
    [[ $before == "$after" ]] || echo "the node was started again: $before, $after"
    "$vcompare" lab status | grep -E '^lab-linux +running'
}

node_killed() {
    pkill -KILL -f "qemu-system.*$(domain lab-xen)" || return 1
    sleep 2
    "$vcompare" lab status | grep -E '^lab-xen +running' && { echo "it is said to run" && return 1; }
    "$vcompare" lab up && "$vcompare" lab status | grep -E '^lab-xen +running'
}

# A disk that has no room for an image: said before anything is made.
disk_of_image() {
    local home=$work/small code
    small "$home" 600 || return 1
    # Asked for room before anything is made.
    VCOMPARE_HOME=$home "$vcompare" lab up >"$work/refused.log" 2>&1
    code=$?
    cat "$work/refused.log"
    ((code == 2 || code == 1)) || return 1
    grep -qi "disk" "$work/refused.log" || { echo "it does not speak of the disk" && return 1; }
    ! find "$home/images" "$home/labs" -mindepth 1 2>/dev/null | grep . || { echo "something was made" && return 1; }
    # Neither does the role by itself begin.
    VCOMPARE_HOME=$home .venv/bin/ansible-playbook -i localhost, tests/faults/images.yml -e "vcompare_home=$home" >"$work/full.log" 2>&1
    code=$?
    tail -n 25 "$work/full.log"
    ((code != 0)) || { echo "an image was built on a full disk" && return 1; }
    grep -qiE "no space left|MiB of disk" "$work/full.log" || { echo "it does not say that the disk is full" && return 1; }
    ! find "$home/images" -mindepth 1 -maxdepth 1 -type d | grep . || { echo "something half made is kept" && return 1; }
}

# Overlays and snapshots of a lab that comes up lie in its folder: there is room when it is asked for, and none any more when
# the nodes begin to write.
disk_of_lab() {
    local code process folder=$VCOMPARE_HOME/labs/narrow
    "$vcompare" lab down --lab narrow || return 1
    small "$folder" 48 || return 1
    "$vcompare" lab up --lab narrow >"$work/narrow.log" 2>&1
    code=$?
    ((code != 0)) || { echo "it was not refused" && return 1; }
    grep "MiB of disk, and $folder has" "$work/narrow.log" || { echo "it was not refused for its disk" && return 1; }
    mount -o remount,size=8g "$folder" || return 1
    "$vcompare" lab up --lab narrow >"$work/narrow.log" 2>&1 &
    process=$!
    until [[ -n $(find "$folder" -name '*.qcow2') ]]; do
        kill -0 "$process" 2>/dev/null || { cat "$work/narrow.log"; echo "it ended before it made a disk"; return 1; }
        sleep 0.2
    done
    mount -o remount,size=48m "$folder" || return 1
    wait "$process"
    code=$?
    ((code != 0)) || { echo "a lab came up on a full disk" && return 1; }
    # Not all of it: that its nodes can't be reached is what is wanted here, and no reason to try once more.
    grep -E "disk.* can't be written|the disk of .* is full" "$work/narrow.log" || { echo "it does not speak of the disk" && return 1; }
    "$vcompare" lab doctor >"$work/doctor.log"
    grep "can't be written" "$work/doctor.log" || { echo "the doctor does not see it" && return 1; }
    "$vcompare" lab down --lab narrow || return 1
    ! virsh -q list --all --name | grep narrow || { echo "machines are left" && return 1; }
    umount "$folder" && rmdir "$folder"
}

# A snapshot with memory is the largest thing that a lab writes at once.
disk_of_snapshot() {
    local code used folder=$VCOMPARE_HOME/labs/narrow
    local lab=(-i inventories/nested -e vcompare_lab=narrow -e "vcompare_home=$VCOMPARE_HOME")
    "$vcompare" lab down --lab narrow || return 1
    small "$folder" 8192 || return 1
    .venv/bin/ansible-playbook playbooks/lab_up.yml "${lab[@]}" || return 1
    used=$(df -m --output=used "$folder" | tail -n 1)
    mount -o "remount,size=$((used + 32))m" "$folder" || return 1
    .venv/bin/ansible-playbook tests/faults/keep.yml "${lab[@]}" >"$work/keep.log" 2>&1
    code=$?
    grep -m 3 -E "Taking the snapshot|MiB free" "$work/keep.log"
    ((code != 0)) || { echo "a snapshot was taken on a full disk" && return 1; }
    grep -q "$folder has .* MiB free" "$work/keep.log" || { echo "it does not speak of the disk" && return 1; }
    "$vcompare" lab down --lab narrow || return 1
    ! virsh -q list --all --name | grep narrow || { echo "machines are left" && return 1; }
    umount "$folder" && rmdir "$folder"
}

readonly all=(libvirtd_of_the_server dockerd libvirtd connection clock reset hang power node disk_of_bundle node_killed disk_of_image disk_of_snapshot disk_of_lab)
read -ra chosen <<<"${VCOMPARE_TEST_FAULTS:-${all[*]}}"
is_chosen() { [[ " ${chosen[*]} " == *" $1 "* ]]; }
fault() { is_chosen "$1" && step "$2" "${@:3}"; }

step "the lab is up" "$vcompare" lab up || { finish; exit 1; }
fault libvirtd_of_the_server "libvirt's daemon of the lab server is killed" libvirtd_of_the_server
fault dockerd "Docker's daemon is killed in a comparison" struck dockerd_dies "0|3" 3 docker bare,docker
fault libvirtd "libvirt's daemon of a node is killed in a comparison" struck libvirtd_dies "0|3" 3 kvm bare,kvm
fault connection "the connections are cut in a comparison" struck connection_dies "0|1|3" 2 bare,docker bare,docker
fault clock "a node's clock jumps in a comparison" struck clock_jumps "0|3" 2 "" bare,docker
fault reset "a node is reset in a comparison" struck node_resets "3" 3 docker bare,docker
fault hang "a node falls silent in a comparison" struck node_hangs "3" 2 docker bare,docker
fault power "the power fails in a comparison" struck power_fails "137" 2 "" bare,docker
fault disk_of_bundle "the disk of the bundle is full" disk_of_bundle
fault node "a node is killed in a comparison" struck node_dies "1" 2 "" bare,docker
fault node_killed "a node is killed" node_killed
fault disk_of_image "the disk is full when an image is built" disk_of_image
fault disk_of_snapshot "the disk is full when a snapshot is taken" disk_of_snapshot
fault disk_of_lab "the disk is full when a lab comes up" disk_of_lab
# Whoever keeps the home may keep the lab, too.
[[ -n ${VCOMPARE_TEST_HOME:-} ]] || step "the lab is taken away" "$vcompare" lab down
finish
