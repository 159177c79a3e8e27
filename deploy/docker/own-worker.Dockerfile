# A worker with tools of your own: a recipe to copy. Agents see /usr read-only, so what is installed below /usr
# (packages, /usr/local) is there for them; other places need cage.read_only_paths.
#
#   docker build -f own-worker.Dockerfile --build-arg WORKER=REGION-docker.pkg.dev/PROJECT/codex/codex-fleet-worker@sha256:… .

ARG WORKER=codex-fleet-worker
FROM ${WORKER}
ARG PACKAGES="golang-go shellcheck"
USER 0:0
RUN apt-get update \
 && apt-get install -y --no-install-recommends ${PACKAGES} \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/* /var/cache/ldconfig/aux-cache \
 && node /usr/local/share/codex-fleet/complete-sbom.mjs
# Everything else, entry point included, is as in the worker's image. Numbers, so that Kubernetes can tell that
# it is not root.
USER 65532:65532
