#!/usr/bin/env bash
# Puts KEY=VALUE lines from its input into a file of settings: in the place of the line of that key, or at the end.
# All other lines stay as they are, and so does a file that has them already.
set -euo pipefail

file=${1:?usage: set-settings.sh FILE <lines}
lines=$(grep -v -e '^[[:space:]]*$' -e '^#' || true)
if [[ -z $lines ]]; then
  echo "$0: there were no lines to set" >&2
  exit 1
fi
while IFS= read -r line; do
  if ! [[ $line =~ ^[A-Z][A-Z0-9_]*=[^[:space:]]*$ ]]; then
    echo "$0: not a line KEY=VALUE: $line" >&2
    exit 1
  fi
done <<<"$lines"
mkdir -p -- "$(dirname -- "$file")"
touch -- "$file"
after=$(LINES_TO_SET=$lines awk '
  BEGIN {
    count = split(ENVIRON["LINES_TO_SET"], given, "\n")
    for (at = 1; at <= count; at++) { key = given[at]; sub(/=.*/, "", key); line[key] = given[at]; order[at] = key }
  }
  { key = $0; sub(/=.*/, "", key) }
  key in line { print line[key]; delete line[key]; next }
  { print }
  END { for (at = 1; at <= count; at++) if (order[at] in line) print line[order[at]] }
' "$file")
if [[ $after != "$(<"$file")" ]]; then printf '%s\n' "$after" >"$file"; fi
