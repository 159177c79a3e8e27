# For the tests alone: Debian's Redis on the stand-in base.
ARG BASE
FROM ${BASE}
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends redis-server tini && rm -rf /var/lib/apt/lists/* /var/cache/apt
USER 65532:65532
ENTRYPOINT ["/usr/bin/tini", "-s", "--", "redis-server"]
