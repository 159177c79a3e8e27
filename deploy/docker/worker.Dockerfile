# The image of workers: Codex, and the tools that an agent works with. Build it from the root of the repository;
# deploy/docker/README.md says how, and what is in it. For tools of your own: own-worker.Dockerfile.

# An index of amd64 and arm64. Renovate and Dependabot keep such a line up to date (README.md, "The base").
ARG BASE=docker.io/library/node:24.21.0-bookworm-slim@sha256:d6aa754f16b3197301076f047b5def2f02ea1dbbc2ca920407d46d7ec7f87b20

FROM ${BASE} AS app
ARG SOURCE_DATE_EPOCH=0
WORKDIR /src
COPY . .
# Secrets for those whose registry or proxy asks for them: neither is written to a layer.
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc --mount=type=secret,id=ca,target=/run/extra-ca.pem \
    sh deploy/docker/stage-app.sh /out

FROM ${BASE}
COPY deploy/docker/install-packages.sh deploy/docker/complete-sbom.mjs /usr/local/share/codex-fleet/
RUN sh /usr/local/share/codex-fleet/install-packages.sh worker
COPY --from=app /out/app /app
COPY --from=app /out/codex /app
ARG SOURCE_DATE_EPOCH=0
RUN node /usr/local/share/codex-fleet/complete-sbom.mjs
ARG VERSION=0.0.0
ARG REVISION=unknown

ENV NODE_ENV=production \
    HOME=/tmp \
    CODEX_FLEET_DATA_DIR=/data \
    CODEX_FLEET_WORKER_HOST=0.0.0.0
WORKDIR /app
USER 65532:65532
EXPOSE 7000
# tini, because Node as pid 1 does not reap what an agent's commands leave behind where they have no cage.
ENTRYPOINT ["/usr/bin/tini", "-s", "--", "codex-fleet"]
CMD ["worker"]
STOPSIGNAL SIGTERM
# For Docker and Podman. Kubernetes does not read it: the manifests probe /livez and /readyz.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["codex-fleet", "doctor"]
LABEL org.opencontainers.image.title="codex-fleet-worker" \
      org.opencontainers.image.description="Codex Fleet: worker, with Codex and tools for its agents" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
