#!/bin/sh
# Builds the images codex-fleet and codex-fleet-worker from this checkout, with docker, podman or buildah, and writes
# the list of parts of each (SBOM) and its size beside them.
# Usage: build.sh [-p PREFIX] [-t TAG] [-o DIR] [-b BASE] [fleet|worker…]
#   -p  what goes before the names, such as REGION-docker.pkg.dev/PROJECT/codex/   (default: none)
#   -t  the tag (default: the version of package.json); a digest is what is deployed, a tag is for people
#   -o  where the lists go (default: dist/images)
#   -b  another base than the Dockerfiles pin
# Environment: BUILDER docker|podman|buildah (default: the first that is there); SOURCE_DATE_EPOCH (default: the time of
# the last commit); NPMRC, CA: files for a registry that asks for a credential, and for a proxy's authority.
set -eu

root=$(cd -- "$(dirname -- "$0")/../.." && pwd)
version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$root/package.json")
prefix='' tag=$version out=$root/dist/images base=''
usage() {
  sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
while getopts p:t:o:b: option; do
  case $option in
    p) prefix=$OPTARG ;;
    t) tag=$OPTARG ;;
    o) out=$OPTARG ;;
    b) base=$OPTARG ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- fleet worker

first_of() {
  for name in "$@"; do
    if command -v "$name" >/dev/null; then
      echo "$name"
      return
    fi
  done
  echo 'build.sh needs docker, podman or buildah' >&2
  exit 2
}
builder=${BUILDER:-$(first_of docker podman buildah)}
revision=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git -C "$root" status --porcelain 2>/dev/null)" ] || revision=$revision-changed
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

build() {
  dockerfile=$root/deploy/docker/$1.Dockerfile
  set -- --file "$dockerfile" --tag "$2" \
    --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
  [ -z "$base" ] || set -- "$@" --build-arg "BASE=$base"
  [ -z "${NPMRC:-}" ] || set -- "$@" --secret "id=npmrc,src=$NPMRC"
  [ -z "${CA:-}" ] || set -- "$@" --secret "id=ca,src=$CA"
  case $builder in
    docker) DOCKER_BUILDKIT=1 docker build "$@" "$root" ;;
    # Docker's format, because OCI's has no health check.
    podman) podman build --layers --format docker --timestamp "$SOURCE_DATE_EPOCH" "$@" "$root" ;;
    buildah) buildah bud --layers --isolation "${BUILDAH_ISOLATION:-chroot}" --format docker --timestamp "$SOURCE_DATE_EPOCH" "$@" "$root" ;;
    *)
      echo "build.sh: BUILDER is docker, podman or buildah, not $builder" >&2
      exit 2
      ;;
  esac
}

# Without running the image, and without its builder having to be able to.
copy_out() {
  if [ "$builder" = buildah ]; then
    container=$(buildah from --pull-never "$1")
    cp "$(buildah mount "$container")$2" "$3"
    buildah rm "$container" >/dev/null
  else
    container=$("$builder" create "$1")
    "$builder" cp "$container:$2" "$3"
    "$builder" rm "$container" >/dev/null
  fi
}

size_of() {
  if [ "$builder" = buildah ]; then
    buildah images --format '{{.Size}}' "$1"
  else
    "$builder" image inspect --format '{{.Size}} bytes' "$1"
  fi
}

mkdir -p "$out"
for image in "$@"; do
  case $image in
    fleet) name=codex-fleet ;;
    worker) name=codex-fleet-worker ;;
    *) usage ;;
  esac
  full=$prefix$name:$tag
  build "$image" "$full"
  copy_out "$full" /app/sbom.cdx.json "$out/$name.cdx.json"
  echo "$full: $(size_of "$full"), parts in $out/$name.cdx.json"
done
