# shellcheck shell=sh
# Puts Docker's own packages in place of Debian's in the tree $1: their names, their conflicts, Debian's programs.
set -e
cd "$1/var/tmp"
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get --quiet download docker.io containerd runc
dpkg-deb --raw-extract docker.io_*.deb ce
dpkg-deb --raw-extract containerd_*.deb io
dpkg-deb --raw-extract runc_*.deb runc
cp -a runc/usr/. io/usr/
mkdir -p cli/DEBIAN cli/usr/bin
mv ce/usr/bin/docker cli/usr/bin/
cp ce/DEBIAN/control cli/DEBIAN/
control() {
    sed -i -e "s/^Package:.*/Package: $2/" -e "s/^Version:.*/Version: $3/" -e '/^\(Source\|Conflicts\|Replaces\|Breaks\|Provides\|Built-Using\|Static-Built-Using\|Recommends\|Suggests\):/d' \
        -e "s/^Depends:.*/$4/" "$1/DEBIAN/control"
    rm -f "$1/DEBIAN/md5sums"
    dpkg-deb -Znone --build "$1" "$2.deb"
}
control io containerd.io 1.7.27-1 'Depends: libc6, libseccomp2\nConflicts: containerd, runc\nReplaces: containerd, runc\nProvides: containerd, runc'
control cli docker-ce-cli 5:27.5.1-1~debian.12~bookworm 'Depends: libc6\nConflicts: docker.io (<< 20.10~)\nReplaces: docker.io'
control ce docker-ce 5:27.5.1-1~debian.12~bookworm \
    'Depends: containerd.io, docker-ce-cli, iptables, libdevmapper1.02.1, libsystemd0\nConflicts: docker.io\nReplaces: docker.io'
chroot "$1" sh -ec 'dpkg --purge docker.io containerd runc; dpkg --install /var/tmp/*.io.deb /var/tmp/docker-ce*.deb'
rm -rf "$1"/var/tmp/*
