#!/usr/bin/env bash
# One plain server: reached, Docker provisioned and measured, and back to what it was.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source tests/servers/plan.sh

compared() {
    vc compare -i "$SERVERS_INVENTORY" --arms bare,docker --profile smoke --blocks 1 --scenarios startup,cpu
    as_asked bare,docker
}

step "root on the server, by sudo with a password, through the jump host" reached || exit 1
step "sudo asks for the password" password_counts
step "what the server has" manifests before || exit 1
step "the plan is shown, and nothing is changed" plan_shown bare,docker 'packages to add' docker.io 'images to add'
step "the playbook in check mode" playbook_checked provision.yml
step "bare and Docker are measured" compared
step "the plan was done, and a second one is empty" plan_was_done
step "release takes everything of ours off" released
step "a second release has nothing to do" nothing_released
step "the server is as before, but for the packages that release names" as_before
summary
