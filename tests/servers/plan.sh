# shellcheck shell=bash
# Steps about the plan of servers; cases source it. Needs SERVERS_INVENTORY, SERVERS_FOLDER and step().
: "${SERVERS_INVENTORY:?}" "${SERVERS_FOLDER:?}"

# What a change would touch. Lists of packages and logs of apt are among it: a check writes nothing.
servers_state() {
    ansible -i "$SERVERS_INVENTORY" servers -b -o -m ansible.builtin.shell -a '
        { dpkg-query --show; find /etc /boot /var/lib/apt /var/cache/apt /var/log/apt -type f -printf "%p %T@ %s\n"
          systemctl list-unit-files --no-legend; ip -brief address; } | LC_ALL=C sort | sha256sum' |
        sed 's/^\([^ ]*\) .*(stdout) /\1 /' | LC_ALL=C sort
}

# plan_shown ARMS WORD...: the plan of each server is shown, its text has the words, and nothing was changed.
plan_shown() {
    local asked=$1 before word
    shift
    before=$(servers_state)
    vcompare compare --dry-run -i "$SERVERS_INVENTORY" --arms "$asked" >"$SERVERS_FOLDER/plan.txt" 2>"$SERVERS_FOLDER/plan.err" ||
        { cat "$SERVERS_FOLDER/plan.txt" "$SERVERS_FOLDER/plan.err" >&2; return 1; }
    for word in "$@"; do
        grep -q -- "$word" "$SERVERS_FOLDER/plan.txt" || { echo "no '$word' in the plan" >&2; return 1; }
    done
    [[ $before == "$(servers_state)" ]]
}

# Without --allow a host that must be rebooted is refused, with the remedy, before anything is made.
plan_refuses_a_reboot() {
    local code=0
    vcompare compare --dry-run -i "$SERVERS_INVENTORY" --arms bare,xen-pv >"$SERVERS_FOLDER/refused.txt" 2>&1 || code=$?
    ((code == 2)) && grep -q 'needs --allow reboot' "$SERVERS_FOLDER/refused.txt" &&
        grep -q 'refused: .*vcompare_allow' "$SERVERS_FOLDER/refused.txt"
}

# The whole of compare.yml and lab_ready.yml in Ansible's check mode, with nothing installed.
playbook_checked() {
    ansible-playbook -i "$SERVERS_INVENTORY" "playbooks/$1" --check --diff -e '{"vcompare_arms": ["bare", "docker"]}' \
        >"$SERVERS_FOLDER/check-$1.log" 2>&1 || { tail -50 "$SERVERS_FOLDER/check-$1.log" >&2; return 1; }
    grep -q 'packages to add' "$SERVERS_FOLDER/check-$1.log" && ! grep -q Traceback "$SERVERS_FOLDER/check-$1.log"
}

# After provisioning: what the plan said is what was added, and a second plan has no packages, files or services.
plan_was_done() {
    local host
    for host in $(ansible -i "$SERVERS_INVENTORY" servers --list-hosts | sed -n 's/^ \+\([^ ]*\)$/\1/p'); do
        # shellcheck disable=SC2016
        ansible -i "$SERVERS_INVENTORY" "$host" -b -o -m ansible.builtin.command -a 'dpkg-query --show --showformat=${Package}\n docker.io' |
            grep -q docker.io || return 1
    done
    vcompare compare --dry-run -i "$SERVERS_INVENTORY" --arms bare,docker >"$SERVERS_FOLDER/again.txt" 2>&1 &&
        ! grep -Eq '(packages|services) to|file to' "$SERVERS_FOLDER/again.txt"
}

# Before anything is provisioned:
#   step "the plan is shown, and nothing changed" plan_shown bare,docker 'packages to add' docker.io 'networks while instances run' 'images to add'
#   step "a reboot that is not allowed is refused" plan_refuses_a_reboot
#   step "provision.yml in check mode" playbook_checked provision.yml     (likewise lab_ready.yml and compare.yml)
# and after it:
#   step "the plan was done, and a second one is empty" plan_was_done
