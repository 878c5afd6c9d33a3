#!/usr/bin/env bash
# A server that others manage: it is used as it is, and all that it lacks is said at once.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly server=${MANAGED_SERVER:-plain-12}

# The playbook that checks servers, with what it says in $SERVERS_FOLDER/said.
checked() {
    ansible-playbook -i "$SERVERS_INVENTORY" --limit "localhost,$server" playbooks/hosts.yml -e vcompare_provision=false \
        -e "vcompare_arms=$1" 2>&1 | tee "$SERVERS_FOLDER/said"
    return "${PIPESTATUS[0]}"
}

everything_named() {
    refused 2 'used as it is .vcompare_provision is false' "Docker's daemon" 'apt-get install .*docker\.io' \
        'Docker.s daemon does not run' 'systemctl enable --now docker\.service' 'not the dom0 of a Xen' -- checked bare,docker,xen-pv
}

# What its administrator does.
docker_installed_and_stopped() {
    on "$server" 'export DEBIAN_FRONTEND=noninteractive; apt-get -q update && apt-get -qy --no-install-recommends install docker.io python3-docker iptables apparmor &&
        systemctl disable --now docker.socket docker.service' >/dev/null
}

stopped_daemon_named() {
    refused 2 'systemctl enable --now docker\.service' -- checked bare,docker && ! grep -q 'apt-get install' "$SERVERS_FOLDER/said" &&
        [[ $(on "$server" 'systemctl is-active docker.service; systemctl is-enabled docker.service' | tr '\n' ' ') == 'inactive disabled ' ]]
}

docker_started() { on "$server" 'systemctl enable --now docker.service && systemctl show docker --property MainPID' >"$SERVERS_FOLDER/pid"; }
same_daemon() { diff <(tail -n 1 "$SERVERS_FOLDER/pid") <(on "$server" 'systemctl show docker --property MainPID' | tail -n 1); }

step "what the server has" manifests before || exit 1
step "everything that is missing is named at once" everything_named
step "nothing was changed" unchanged
step "its administrator installs Docker, and stops it" docker_installed_and_stopped || exit 1
step "the daemon that does not run is named, and stays stopped" stopped_daemon_named
step "its administrator starts Docker" docker_started || exit 1
step "nothing is missing" checked bare,docker
step "the daemon was not restarted" same_daemon
summary
