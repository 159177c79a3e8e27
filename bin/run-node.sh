#!/bin/sh
# Runs Node on the given file: the Node that npm installed with this package, else the one on the
# PATH if it is new enough to run TypeScript. It execs, so no process stands between the caller and
# Node, and signals and exit codes are Node's own. See docs/decisions/0001-node-from-npm.md.
# Usage: run-node.sh [--die-with-parent] file.ts [argument…]
set -eu

root=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")

# npm does not kill its scripts when it is itself killed with SIGKILL; the kernel can.
parent_death=''
if [ "${1:-}" = --die-with-parent ]; then
  shift
  if setpriv --pdeathsig TERM true 2>/dev/null; then
    parent_death='setpriv --pdeathsig TERM'
  fi
fi

case $(uname -m) in
  x86_64) arch=x64 ;;
  aarch64 | arm64) arch=arm64 ;;
  *) arch=none ;;
esac

# Inside us when we are the checkout, beside us when we are installed in someone's node_modules.
for node in "$root/node_modules/node-linux-$arch/bin/node" "$root/../node-linux-$arch/bin/node" node; do
  # A file that is there may still not run (musl), so each is asked for its version.
  version=$("$node" --version 2>/dev/null) || continue
  version=${version#v}
  major=${version%%.*}
  minor=${version#*.}
  minor=${minor%%.*}
  if [ "$major" -gt 22 ] || { [ "$major" -eq 22 ] && [ "$minor" -ge 18 ]; }; then
    # shellcheck disable=SC2086 # words on purpose, or none
    exec $parent_death "$node" "$@"
  fi
done

echo 'codex-fleet needs Node 22.18 or newer. Run "npm ci" with optional dependencies (they bring one on Linux), or install Node from https://nodejs.org.' >&2
exit 2
