#!/bin/sh
# What an image has beside /app: Debian's packages, the user 65532, /data. As root, in the last stage; one layer,
# which stays the same while only the program changes.
# Usage: install-packages.sh fleet|worker
set -eu

image=$1
case $image in
  fleet) packages='tini' ;;
  worker)
    packages='tini bash build-essential ca-certificates curl file git jq less patch procps python3 python3-venv ripgrep unzip util-linux xz-utils'
    ;;
  *)
    echo "install-packages.sh: no image is called $image" >&2
    exit 2
    ;;
esac

export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# What has been mended since the base was made, too.
apt-get -qq upgrade -y --no-install-recommends
# shellcheck disable=SC2086 # a list
apt-get -qq install -y --no-install-recommends $packages

# These roles install nothing: what could is not left in reach. Agents keep npm.
if [ "$image" = fleet ]; then
  rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /opt/yarn* /usr/local/bin/yarn*
fi

# Whoever commits is the agent, until a repository says otherwise; in a cage it is so, too.
if [ "$image" = worker ]; then
  printf '[user]\n\tname = Codex\n\temail = codex@localhost\n[init]\n\tdefaultBranch = main\n' >/etc/gitconfig
fi

groupadd --gid 65532 codex
useradd --uid 65532 --gid 65532 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin codex
install -d -m 0700 -o 65532 -g 65532 /data
ln -s /app/bin/codex-fleet /usr/local/bin/codex-fleet

# Times and names of this build, which would make each one another image.
rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/log/* \
  /var/cache/ldconfig/aux-cache /root/.npm /tmp/* /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow-
