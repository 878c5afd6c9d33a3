# shellcheck shell=bash
# What the cases of plain servers share. Sourced by each; machines.py starts them, with the servers up.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
: "${SERVERS_FOLDER:?}" "${SERVERS_INVENTORY:?}"
export PATH=$PWD/.venv/bin:$PATH NO_COLOR=1 ANSIBLE_FORCE_COLOR=false

passed=0 failed=0

# step NAME COMMAND...: runs it, shows the result, and counts.
step() {
    local name=$1 started=$SECONDS
    shift
    if ("$@"); then
        passed=$((passed + 1))
        printf -- '-- ok: %s (%d s)\n' "$name" $((SECONDS - started))
    else
        failed=$((failed + 1))
        printf -- '-- FAILED: %s (%d s)\n' "$name" $((SECONDS - started))
        return 1
    fi
}

# The last line of each case.
summary() {
    printf '%d passed, %d failed\n' "$passed" "$failed"
    ((failed == 0))
}

on_servers() { ansible -i "$SERVERS_INVENTORY" servers "$@"; }
servers() { ansible -i "$SERVERS_INVENTORY" servers --list-hosts | sed -n 's/^ \+\([^ ]*\)$/\1/p'; }

# on SERVER SCRIPT: what a shell script prints there, as root.
on() {
    local answer
    answer=$(ansible -i "$SERVERS_INVENTORY" "$1" --one-line -m ansible.builtin.shell -a "$2" 2>"$SERVERS_FOLDER/on.error") || {
        printf '%s\n' "$answer" >&2
        return 1
    }
    answer=${answer#*(stdout) }
    printf '%b\n' "${answer%% (stderr) *}"
}

# by_ssh SERVER COMMAND...: as its user, through the jump host and without Ansible, as a person does.
by_ssh() {
    local words
    read -ra words < <(sed -n "s/^$1 ansible_host=\([^ ]*\) ansible_port=\([0-9]*\).*/\1 \2/p" "$SERVERS_INVENTORY")
    ssh -F "$SERVERS_FOLDER/ssh_config" -o ProxyJump=jump -o ServerAliveInterval=30 -p "${words[1]}" "ops@${words[0]}" "${@:2}" </dev/null
}

qmp() { python tests/servers/qmp.py "$SERVERS_FOLDER/$1.qmp" "${@:2}" >/dev/null; }

# vc ARGUMENTS...: vcompare, whose output is shown and kept in $SERVERS_FOLDER/said; its exit code in $SERVERS_FOLDER/code.
vc() {
    python -m vcompare_runner "$@" 2>&1 | tee "$SERVERS_FOLDER/said"
    echo "${PIPESTATUS[0]}" >"$SERVERS_FOLDER/code"
    return "$(<"$SERVERS_FOLDER/code")"
}

# The folder of the run that the last output names.
run_folder() { echo "$VCOMPARE_HOME/runs/$(sed -n 's/^run \([^:]*\):.*/\1/p' "$SERVERS_FOLDER/said")"; }

# as_asked ARMS: whatever the last comparison ended with is for its bundle to judge: a busy machine below makes it 3.
as_asked() { python tests/e2e/bundle.py --ended "$(<"$SERVERS_FOLDER/code")" "$(run_folder)" --proven "$1" --blocks 1; }

# took STAGE: how many seconds a stage of the last output took.
took() {
    python - "$SERVERS_FOLDER/said" "$1" <<'END'
import datetime, re, sys
lines = [re.match(r"(\S+Z) (\w+): (done in )?", line) for line in open(sys.argv[1], encoding="utf-8")]
times = [(datetime.datetime.fromisoformat(m[1]), bool(m[3])) for m in lines if m and m[2] == sys.argv[2]]
print(round((next(at for at, done in times if done) - times[0][0]).total_seconds()))
END
}

# said PATTERN...: the last output has a line of each.
said() {
    local pattern
    for pattern; do
        grep -Eq -- "$pattern" "$SERVERS_FOLDER/said" || {
            echo "the output has no line with: $pattern"
            return 1
        }
    done
}

# refused CODE PATTERN... -- COMMAND...: it ends with that exit code, says that, and shows no traceback.
refused() {
    local code=$1 patterns=() found
    shift
    while [[ $1 != -- ]]; do patterns+=("$1") && shift; done
    shift
    "$@"
    found=$?
    # A pattern, such as [12].
    # shellcheck disable=SC2053
    [[ $found == $code ]] || {
        echo "exit code $found in place of $code"
        return 1
    }
    said "${patterns[@]}" && ! grep -q 'Traceback' "$SERVERS_FOLDER/said"
}

# Root by sudo with the vault's password on each, and through the jump host.
reached() {
    local roots
    roots=$(on_servers -o -m ansible.builtin.command -a 'id -un' | tee /dev/stderr | grep -c 'CHANGED | rc=0 | (stdout) root$')
    ((roots == $(servers | wc -l))) && grep -q 'Accepted publickey' "$SERVERS_FOLDER/jump.log"
}

# Without its password sudo does nothing: that the run above became root is the password's doing.
password_counts() {
    ! on_servers -e ansible_become_password=wrong -m ansible.builtin.command -a true >"$SERVERS_FOLDER/wrong" 2>&1 &&
        grep -qi 'password' "$SERVERS_FOLDER/wrong"
}

# manifests NAME: what each server has, into $SERVERS_FOLDER/NAME.
manifests() {
    mkdir -p "$SERVERS_FOLDER/$1"
    ansible-playbook -i "$SERVERS_INVENTORY" tests/servers/manifest.yml -e "folder='$SERVERS_FOLDER/$1'" >"$SERVERS_FOLDER/manifest.log" && return
    tail -n 20 "$SERVERS_FOLDER/manifest.log"
    return 1
}

# Everything of ours is off every server; what was said is kept.
released() {
    python -m vcompare_runner release -i "$SERVERS_INVENTORY" --allow reboot --json >"$SERVERS_FOLDER/released.json"
    local code=$?
    jq_like "$SERVERS_FOLDER/released.json" 'for host, one in d.items(): print(host, one["released"], len(one["removed"]), "removed;", one["left"], one["error"])'
    ((code == 0))
}

nothing_released() {
    python -m vcompare_runner release -i "$SERVERS_INVENTORY" --json >"$SERVERS_FOLDER/again.json" &&
        jq_like "$SERVERS_FOLDER/again.json" 'print(d); assert d and all(one["released"] and not one["removed"] for one in d.values())'
}

# jq_like FILE SCRIPT: Python with d, the hosts of a release.
jq_like() { python -c "import json, sys; d = json.load(open(sys.argv[1]))['hosts']; exec(sys.argv[2])" "$1" "$2"; }

# as_before: each server is as it was, but for the packages that release named.
as_before() {
    local server packages wrong=0
    manifests after || return 1
    for server in $(servers); do
        packages=$(jq_like "$SERVERS_FOLDER/released.json" "print(*(p['name'] for p in d['$server']['packages']))")
        # shellcheck disable=SC2086
        python tests/servers/manifest.py compare "$SERVERS_FOLDER/before/$server.json" "$SERVERS_FOLDER/after/$server.json" $packages || wrong=1
    done
    return "$wrong"
}

# Each server is as it was.
unchanged() {
    local server wrong=0
    manifests now || return 1
    for server in $(servers); do
        python tests/servers/manifest.py compare "$SERVERS_FOLDER/before/$server.json" "$SERVERS_FOLDER/now/$server.json" || wrong=1
    done
    return "$wrong"
}
