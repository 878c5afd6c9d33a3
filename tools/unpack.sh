#!/usr/bin/env bash
# Unpacks what tests run and read out of Debian packages that must not be installed for a test: these
# would start services (memcached, HAProxy) or change how the machine boots (a kernel). Needs no root.
# usage: tools/unpack.sh FOLDER
#   FOLDER/bin has the programs, FOLDER/boot a kernel. What the machine has itself is not fetched.
# Exit codes: 0 all there, 1 apt can't find or fetch something (its words are on stderr).
set -euo pipefail

folder=$(realpath -m "$1")
readonly folder new=$folder.new
declare -rA package_of=([memcached]=memcached [haproxy]=haproxy)
# The one that guests have; the smaller one for clouds is compressed in another way.
readonly kernel=linux-image-amd64

# Fetches packages, and what they depend on that this machine lacks, into a folder.
fetch() {
    local into=$1
    shift
    mkdir -p "$into/partial"
    # Nothing of the system is written, so its lock is not needed. apt's own user can't write here.
    apt-get -qq -y --no-install-recommends --download-only -o Debug::NoLocking=1 -o Dir::Cache::archives="$into" \
        -o APT::Sandbox::User= install "$@"
}

unpack_programs() {
    local wanted=() packages=() program deb library path
    for program in "${!package_of[@]}"; do
        if PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null; then continue; fi
        wanted+=("$program")
        packages+=("${package_of[$program]}")
    done
    ((${#wanted[@]})) || return 0
    fetch "$new/debs" "${packages[@]}"
    for deb in "$new"/debs/*.deb; do dpkg -x "$deb" "$new/root"; done
    rm -rf "$new/debs"
    library=$folder/root/$(cd "$new/root" && find usr/lib -maxdepth 1 -name '*-linux-gnu*' -print -quit)
    for program in "${wanted[@]}"; do
        path=$(cd "$new/root" && find usr/bin usr/sbin -name "$program" -print -quit)
        [[ -n $path ]] || { echo "${package_of[$program]} has no program $program" >&2; exit 1; }
        # Only this program sees the libraries, not whatever runs with this folder in PATH.
        printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$library" "$folder/root/$path" >"$new/bin/$program"
        chmod 755 "$new/bin/$program"
    done
}

unpack_kernel() {
    if [[ $(uname -m) != x86_64 ]] || compgen -G '/boot/vmlinuz-*-amd64' >/dev/null; then return; fi
    fetch "$new/debs" "$kernel"
    # Only this file, and no further: the modules behind it are most of the package.
    tar -x -C "$new" --wildcards --occurrence=1 './boot/vmlinuz-*' \
        < <(dpkg --fsys-tarfile "$new"/debs/linux-image-[0-9]*.deb 2>/dev/null)
    rm -rf "$new/debs"
}

trap 'rm -rf "$new"' EXIT
rm -rf "$new"
mkdir -p "$new/bin" "$new/boot"
unpack_programs
unpack_kernel
rm -rf "$folder"
mv "$new" "$folder"
