#!/bin/sh
# Makes what the images are filled with, from a checkout: OUT/app, compiled, with what runs and nothing else, and
# OUT/codex, which a worker's image has on top of it: the native Codex. The first stage of both Dockerfiles; needs npm and its registry.
# Usage: stage-app.sh OUT
set -eu

out=$1
arch=$(node -p process.arch)
if [ -s /run/extra-ca.pem ]; then export NODE_EXTRA_CA_CERTS=/run/extra-ca.pem; fi

# No package needs its install script, and none of them gets to run one. The cache ends with this step.
npm_config_cache=$(mktemp -d)
export npm_config_cache
npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier
node_modules/.bin/tsc -b src/cli
# Asked before the tools leave, whose absence npm would call an error; what is not in an image drops out there.
npm sbom --omit=dev --sbom-format=cyclonedx >sbom.npm.json
# Only what the lockfile brings for use: the compiler and the tools of the tests leave.
npm prune --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier
# The images have a Node of their own.
rm -rf node_modules/node-linux-* node_modules/.bin node_modules/.package-lock.json dist/.tsbuildinfo "$npm_config_cache"

mkdir -p "$out/app" "$out/codex/node_modules/@openai"
native=node_modules/@openai/codex-linux-$arch
# 50 MB for a microphone that no server has.
rm -rf "$native"/vendor/*/codex-resources/voice
mv "$native" "$out/codex/$native"
mv node_modules dist "$out/app/"
cp -R package.json bin LICENSE "$out/app/"
cp sbom.npm.json "$out/app/sbom.cdx.json"
# Declarations, sources, maps and tests are for who works on the packages: half of what the packages weigh.
find "$out/app" -type f \
  \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.map' -o -name '*.tsbuildinfo' -o -name '*.test.*js' \) -delete
find "$out/app" -type d -empty -delete
chmod -R u=rwX,go=rX "$out"
