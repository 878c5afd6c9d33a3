#!/usr/bin/env bash
# Two plain servers, from nothing to a report of five arms, and back to what they were.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source tests/servers/plan.sh

readonly arms=bare,docker,kvm,xen-pv,xen-pvh

compared() {
    vc compare -i "$SERVERS_INVENTORY" --arms "$arms" --profile smoke --blocks 1 --allow reboot
    as_asked "$arms" || return 1
    # 480 s or less on a machine that is not busy with anything else; how fast that is, no test can know.
    echo "provisioned in $(took provision) s"
}

step "root on each server, by sudo with a password, through the jump host" reached || exit 1
step "sudo asks for the password" password_counts
step "what each server has" manifests before || exit 1
step "the plan is shown, and nothing is changed" plan_shown bare,docker 'packages to add' docker.io 'images to add'
step "a reboot that is not allowed is refused" plan_refuses_a_reboot
step "five arms on two plain servers, from nothing to the report" compared
step "release takes everything of ours off both" released
step "a second release has nothing to do" nothing_released
step "each server is as before, but for the packages that release names" as_before
summary
