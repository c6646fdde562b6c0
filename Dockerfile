# bearer-proxy as a static binary in an empty image. Nothing in it but the program, its licences, and the roots of
# Debian's CA bundle.
#
#   docker build -t bearer-proxy .
#   docker run --rm -p 127.0.0.1:8080:8080 -v ./proxy.yaml:/etc/bearer-proxy/proxy.yaml:ro --env-file secrets.env \
#     --stop-timeout 40 bearer-proxy
#
# A container's port is reached from outside it: the listener's address is then 0.0.0.0:8080, and the file must say
# `access: anyone`. Who may connect is what is published (`-p 127.0.0.1:…`: this machine alone).

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build

# Static: glibc is linked in. `--target`, so that build scripts and macros are not, which have to be loaded.
# The crypto library is the one that Cargo.lock names, not one that the image happens to have.
ENV RUSTFLAGS="-C target-feature=+crt-static" \
    AWS_LC_SYS_USE_SYSTEM=0

# The dependencies are a layer of their own: they are built again when Cargo.toml or Cargo.lock change, not with every
# line of ours. The empty files are what Cargo.toml names; they are older than any that are copied over them.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches \
 && echo '//! Empty.' | tee src/lib.rs benches/hot_path.rs benches/loopback.rs > src/main.rs \
 && echo 'fn main() {}' >> src/main.rs \
 && cargo build --release --locked --target "$(uname -m)-unknown-linux-gnu" --bin bearer-proxy \
 && rm -r src

COPY src src
# Cargo goes by time: copied files may be older than what was built from the empty ones.
RUN find src -name '*.rs' -exec touch {} + \
 && cargo build --release --locked --target "$(uname -m)-unknown-linux-gnu" --bin bearer-proxy

# What the image will hold, tried where there is a shell to say what is wrong.
COPY LICENSE-APACHE LICENSE-MIT ./
RUN install -D "target/$(uname -m)-unknown-linux-gnu/release/bearer-proxy" image/bearer-proxy \
 && install -D -m 644 -t image/licenses LICENSE-APACHE LICENSE-MIT \
 && install -D -m 644 -t image/etc/ssl/certs /etc/ssl/certs/ca-certificates.crt \
 && echo 'hosts: files dns' > image/etc/nsswitch.conf \
 && chroot image /bearer-proxy --version

FROM scratch
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="bearer-proxy" \
      org.opencontainers.image.description="An authenticating HTTP proxy: a cached OAuth access token on each request" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /build/image/ /
ENV BEARER_PROXY_CONFIG=/etc/bearer-proxy/proxy.yaml
# A number, so that `runAsNonRoot` can be sure of it.
USER 65532:65532
EXPOSE 8080 9090
# Asks the admin listener of the file, from inside. There must be one: `admin: {address: 127.0.0.1:9090}`.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["/bearer-proxy", "healthcheck"]
ENTRYPOINT ["/bearer-proxy"]
CMD ["run"]
