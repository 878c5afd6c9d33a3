#!/usr/bin/env bash
# Makes .venv with what `make compare` needs ("run"), or with what `make test` needs too ("test").
# The second call costs next to nothing: a stamp says for what the folder was made.
# Exit codes: 0 ready, 1 something failed, 2 something is missing that only the user can give.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly kind=${1:-run}
readonly venv=.venv
readonly log=.venv.setup.log
readonly unpacked=.cache/debian
readonly lock_wait_s=900
# The tools that tests run and read, and what checks our XML; redis-tools has the server's program, too,
# and starts none. libvirt's binding comes from Debian, since pip would need a compiler.
test_packages=(git gnupg openssl sudo shellcheck redis-tools sysbench stress-ng linux-perf
    python3-libvirt libvirt-clients libxml2-utils grub-common xfsprogs btrfs-progs zstd uidmap
    cpio fdisk iproute2 procps qemu-system-x86 qemu-utils)
complete=1

say() { printf 'setup: %s\n' "$*"; }

missing() {
    printf 'setup: %s\n' "$@" >&2
    exit 2
}

failed() {
    printf 'setup: %s\n' "$@" >&2
    if [[ -s $log ]]; then
        printf 'setup: the last lines of %s:\n' "$PWD/$log" >&2
        tail -n 12 "$log" | sed 's/^/  /' >&2
    fi
    exit 1
}

# What the folder depends on: a virtual environment knows its own path, too.
want() { printf '%s ' "$PWD"; cat pyproject.toml tools/setup.sh tools/unpack.sh | sha256sum; }

ready() {
    local stamp
    for stamp in "$venv/.vcompare-test" "$venv/.vcompare-$kind"; do
        [[ -x $venv/bin/python && -r $stamp && $(<"$stamp") == "$(want)" ]] && return
    done
    return 1
}

on_debian() { [[ -r /etc/debian_version ]] && command -v apt-get >/dev/null; }

# Finds how to become root before anything is started. Sets: as_root (a command prefix).
become_root() {
    local command=$1
    as_root=()
    ((EUID == 0)) && return
    command -v sudo >/dev/null ||
        missing "Packages are missing, and there is neither root nor sudo here." "Run as root: $command"
    as_root=(sudo)
    sudo -n true 2>/dev/null && return
    [[ -t 0 ]] || missing "Packages are missing, and sudo asks for a password." "Run as root: $command"
    say "sudo may ask for your password, for: $command"
    sudo -v || missing "sudo did not let you." "Run as root: $command"
}

apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"; }

install_packages() {
    local wanted=() package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || wanted+=("$package")
    done
    ((${#wanted[@]})) || return 0
    become_root "apt-get install ${wanted[*]}"
    say "installing ${wanted[*]}"
    # A new machine has no package lists, an old one may have outdated ones.
    if ! apt install -y --no-install-recommends "${wanted[@]}" >"$log" 2>&1; then
        { apt update && apt install -y --no-install-recommends "${wanted[@]}"; } >"$log" 2>&1 ||
            failed "apt-get could not install ${wanted[*]}: can the package mirror be reached?"
    fi
}

# The tests go on with what is there. The next call tries it again.
incomplete() {
    say "$@"
    complete=''
}

# What would start a service, or change how the machine boots.
unpack_test_packages() {
    local made=$unpacked/.made-by stamp
    on_debian || return 0
    stamp=$(sha256sum <tools/unpack.sh)
    [[ -r $made && $(<"$made") == "$stamp" ]] && return
    say "unpacking programs and a kernel that tests use, without installing them"
    # A new machine has no package lists, an old one may have outdated ones.
    if tools/unpack.sh "$unpacked" >"$log" 2>&1 ||
        (become_root "apt-get update" && apt update && tools/unpack.sh "$unpacked") >>"$log" 2>&1; then
        echo "$stamp" >"$made"
    else
        incomplete "memcached, HAProxy or a kernel could not be fetched; the tests that use them are skipped." \
            "apt says: $(tail -n 1 "$log")"
    fi
}

good_python() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null && good_python "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

system_parts() {
    if on_debian; then
        local packages=(openssh-client)
        # Debian's python3 comes without what venv needs.
        good_python /usr/bin/python3 || packages+=(python3 python3-venv)
        # One installation is faster than two, but what only tests use must not stop a user without root.
        if [[ $kind == test ]]; then
            # Where a service manager runs, this one opens a port to others. In containers it starts nothing.
            if [[ ! -d /run/systemd/system || ${CI:-} == true ]]; then
                test_packages+=(openssh-server)
            elif [[ ! -x /usr/sbin/sshd ]]; then
                say "openssh-server is not installed, since it would start a service; the tests that use it are skipped"
            fi
            (install_packages "${packages[@]}" "${test_packages[@]}") && return
            (($? == 2)) || exit 1
            incomplete "Tests that use these packages are skipped, or fail."
        fi
        install_packages "${packages[@]}"
    else
        local lacks=() tool
        for tool in ssh ssh-keygen; do command -v "$tool" >/dev/null || lacks+=("$tool (OpenSSH client)"); done
        find_python >/dev/null || lacks+=("Python 3.11 or newer with venv and ensurepip")
        ((${#lacks[@]} == 0)) || missing "This is not Debian, so nothing is installed by itself. Missing:" \
            "${lacks[@]/#/  }" "Install that, and run it again."
    fi
}

make_venv() {
    local python
    python=$(find_python) || missing \
        "No Python 3.11 or newer was found (looked for python3 and python3.11 to python3.14)." \
        "Use Debian 12 or newer, or put one into PATH."
    # One without a working pip is left from an interrupted run, or its Python is gone.
    if [[ -e $venv/pyvenv.cfg ]] && ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        rm -rf "$venv"
    elif [[ -e $venv && ! -e $venv/pyvenv.cfg ]]; then
        missing "$PWD/$venv exists and is no virtual environment: move it away."
    fi
    [[ -e $venv ]] && return
    # A half-made one would pass for a whole one.
    trap 'rm -rf "$venv"' EXIT
    say "making $venv with $("$python" --version 2>&1)"
    "$python" -m venv "$venv" >"$log" 2>&1 || failed "$python -m venv failed."
}

install_python_packages() {
    local what=.
    [[ $kind == test ]] && what='.[dev]'
    say "installing Python packages (may take a minute)"
    # Compiling all of numpy and scipy takes longer than fetching them, and Python does it when needed.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --prefer-binary \
        --editable "$what" >"$log" 2>&1 ||
        failed "pip could not install the Python packages: can the Python package index be reached?"
}

case $kind in run | test) ;; *) missing "tools/setup.sh takes run or test, not $kind." ;; esac
ready && exit 0
[[ $(uname -s) == Linux ]] || missing "vcompare runs on Linux; this is $(uname -s)."

exec 9>.venv.setup.lock
if ! flock -n 9; then
    say "another setup is running here, waiting for it"
    flock -w "$lock_wait_s" 9 || failed "the other setup has not ended within $lock_wait_s s."
    ready && exit 0
fi
started=$SECONDS
system_parts
make_venv
install_python_packages
trap - EXIT
[[ $kind == run ]] || unpack_test_packages
# What tests lack, a comparison does not need.
want >"$venv/.vcompare-$([[ -n $complete ]] && echo "$kind" || echo run)"
rm -f "$log"
say "ready after $((SECONDS - started)) s"
