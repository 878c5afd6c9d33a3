#!/usr/bin/env bash
# A Debian machine with systemd, as a newcomer has it: the project is cloned and set up there, and the machine compared.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly server=plain-12 wheels=$SERVERS_FOLDER/wheels
# What is cloned is what is here, committed or not.
readonly source=$SERVERS_FOLDER/source

# Its Python has the same version as this one's, so that what was built here works there, and no index is asked from there.
wheels_there() {
    .venv/bin/python -m pip wheel --quiet --prefer-binary --wheel-dir "$wheels" . 'setuptools>=66' wheel || return 1
    tar -C "$SERVERS_FOLDER" -cf "$wheels.tar" wheels && sent "$wheels.tar" && by_ssh "$server" tar -xf wheels.tar
}

sent() { ansible -i "$SERVERS_INVENTORY" "$server" -m ansible.builtin.copy -a "src='$1' dest=/home/ops/ owner=ops mode=0644" -o >/dev/null; }

source_there() {
    mkdir -p "$source" && git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- | tar -x -C "$source" &&
        git -C "$source" init -q -b main && git -C "$source" add --all &&
        git -C "$source" -c user.name=test -c user.email=test@example.org commit -q -m source &&
        git -C "$source" bundle create -q "$source.bundle" main && sent "$source.bundle"
}

# What README asks for, and sudo without a password: `make setup` has no terminal here.
administrator_prepares() {
    on "$server" 'export DEBIAN_FRONTEND=noninteractive; apt-get -q update && apt-get -qy --no-install-recommends install make &&
        echo "ops ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/ops' >/dev/null
}

cloned() { by_ssh "$server" 'git clone -q -b main source.bundle vcompare && cd vcompare && git log -1 --format=%s' | grep -x source; }

# The variables are those of its shell.
# shellcheck disable=SC2016
set_up() { by_ssh "$server" 'cd vcompare && PIP_NO_INDEX=1 PIP_FIND_LINKS=$HOME/wheels make setup'; }

compared() {
    by_ssh "$server" 'cd vcompare && .venv/bin/vcompare compare -i inventories/local --arms bare,docker --profile smoke --blocks 1' 2>&1 |
        tee "$SERVERS_FOLDER/said"
    echo "${PIPESTATUS[0]}" >"$SERVERS_FOLDER/code"
    local run
    run=$(sed -n 's/^run \([^:]*\):.*/\1/p' "$SERVERS_FOLDER/said")
    mkdir -p "$VCOMPARE_HOME/runs" && by_ssh "$server" "tar -C .local/share/vcompare/runs -c '$run'" | tar -x -C "$VCOMPARE_HOME/runs" &&
        as_asked bare,docker && grep -q 'this-machine' "$VCOMPARE_HOME/runs/$run/report/report.md"
}

released_there() {
    by_ssh "$server" 'cd vcompare && .venv/bin/vcompare release -i inventories/local && .venv/bin/vcompare release -i inventories/local' |
        tee "$SERVERS_FOLDER/said"
    ((PIPESTATUS[0] == 0)) && said 'this-machine: released' 'this-machine: nothing of vcompare is there'
}

step "its administrator installs make" administrator_prepares || exit 1
step "Python's packages are there" wheels_there || exit 1
step "the source is there" source_there || exit 1
step "git clone" cloned || exit 1
step "make setup" set_up || exit 1
step "vcompare compare -i inventories/local" compared
step "vcompare release -i inventories/local, twice" released_there
summary
