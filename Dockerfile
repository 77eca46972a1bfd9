# syntax=docker/dockerfile:1.7@sha256:a57df69d0ea827fb7266491f2813635de6f17269be881f696fbfdf2d83dda33e
# One image for every role: server, admin, worker, command line and load test.
#
#   docker build -t tallycast .
#   docker run --rm -it -p 8080:8080 -v tallycast:/app/data \
#     -e TALLYCAST__SERVER__PUBLIC_URL=http://192.168.1.20:8080 tallycast
#
# The address is that of this machine, as phones reach it: the container knows only its own. Without -it there is no
# terminal: then a line of the log names the file with the emcee's key.
#
# Programs keep function names, for backtraces, but not line numbers: those are in a debug file for each program of the
# same build.
#
#   docker build --target debuginfo --output debuginfo .
#
# Dependencies are a separate layer, built with stub sources: any cache can keep such a layer, also for build machines that
# exist for one build, where a cache mount would be empty each time.
#
# Base images are named by tag and digest: the tag for readers, the digest for what is fetched. Dependabot updates both, and
# scripts/pin_images.sh compares them with the registries.
FROM rust:1.95.0-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1 AS build
WORKDIR /build
ENV CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never

# Only manifests: this layer changes with Cargo.lock and not with the code. Without rust-toolchain.toml, which would have
# a formatter and a linter fetched; the image's own compiler is of the same version, and tests/delivery checks that.
COPY Cargo.toml Cargo.lock ./
COPY bench/Cargo.toml bench/
COPY client/Cargo.toml client/
COPY loadtest/Cargo.toml loadtest/
RUN mkdir -p src benches bench/src client/src loadtest/src \
    && touch src/lib.rs bench/src/lib.rs client/src/lib.rs \
    && for file in src/main.rs benches/domain.rs bench/src/main.rs loadtest/src/main.rs; do echo 'fn main() {}' > "$file"; done \
    && cargo build --locked --profile dist --package tallycast --package loadtest --bins

COPY config config
COPY assets assets
COPY bench/constants.toml bench/
COPY client client
COPY loadtest loadtest
COPY src src
# Cargo goes by times: what was copied must be newer than the stubs
RUN find src client/src loadtest/src -name '*.rs' -exec touch {} + \
    && cargo build --locked --profile dist --package tallycast --package loadtest --bins
COPY scripts/split_debuginfo.sh scripts/
RUN scripts/split_debuginfo.sh target/dist/tallycast target/dist/loadtest

FROM scratch AS debuginfo
COPY --from=build /build/target/dist/tallycast.debug /build/target/dist/loadtest.debug /

FROM debian:12.12-slim@sha256:d5d3f9c23164ea16f31852f95bd5959aad1c5e854332fe00f7b3a20fcc9f635c AS runtime
WORKDIR /app
COPY --from=build /build/target/dist/tallycast /build/target/dist/loadtest /usr/local/bin/
COPY config config
COPY assets assets
# an embedded ledger, where somebody wants one; everything else may be read-only
RUN install -d -o 65532 -g 65532 /app/data

# says that addresses found in here are not reachable from outside, by the convention of systemd's container interface
ENV container=oci
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
# For compose; Kubernetes has its own probes. Debian's bash can open TCP connections, so no further program is needed.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "port=${TALLYCAST__METRICS__PORT:-0}; ((port)) || port=${SERVER_PORT:-8080}; exec 3<>/dev/tcp/127.0.0.1/$port && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && ((status == 200))"]
ENTRYPOINT ["/usr/local/bin/tallycast"]

# what changes with every build is last
ARG VERSION=dev
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=
LABEL org.opencontainers.image.title="tallycast" \
    org.opencontainers.image.description="Live audience voting that counts every vote exactly once" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.source="${SOURCE}" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
