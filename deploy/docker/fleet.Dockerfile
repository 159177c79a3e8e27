# The image of the roles that run no agent: gateway, session-manager, model-proxy. Build it from the root of the
# repository; deploy/docker/README.md says how, and what is in it.

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
RUN sh /usr/local/share/codex-fleet/install-packages.sh fleet
COPY --from=app /out/app /app
ARG SOURCE_DATE_EPOCH=0
RUN node /usr/local/share/codex-fleet/complete-sbom.mjs
ARG VERSION=0.0.0
ARG REVISION=unknown

ENV NODE_ENV=production \
    HOME=/tmp \
    CODEX_FLEET_DATA_DIR=/data \
    CODEX_FLEET_HOST=0.0.0.0 \
    CODEX_FLEET_MANAGER_HOST=0.0.0.0 \
    CODEX_FLEET_MODEL_PROXY_HOST=0.0.0.0
WORKDIR /app
USER 65532:65532
EXPOSE 8080 7100 7101 7200 7201
# tini, because Node as pid 1 does not reap what others leave behind; -s where it is not pid 1 itself.
ENTRYPOINT ["/usr/bin/tini", "-s", "--", "codex-fleet"]
CMD ["gateway"]
STOPSIGNAL SIGTERM
# For Docker and Podman. Kubernetes does not read it: the manifests probe /livez and /readyz.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["codex-fleet", "doctor"]
LABEL org.opencontainers.image.title="codex-fleet" \
      org.opencontainers.image.description="Codex Fleet: gateway, session manager and model proxy" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
