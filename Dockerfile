# The daemon in a container: no compiler, no package manager of ours, no root, nothing written outside of /var/lib/bridged.
#
#   docker build --tag bridged .
#   docker run --read-only --cap-drop=ALL --security-opt=no-new-privileges --ulimit core=0 --tmpfs /tmp \
#       --volume ./bridged.toml:/etc/bridged/bridged.toml:ro --volume bridged:/var/lib/bridged bridged
#
# docs/install.md says more; config/compose has a cluster of three NATS servers beside it.

FROM python:3.13-slim-trixie AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY bridge bridge
COPY adapters adapters
# The environment gets what is pinned and nothing else: not even pip, which stays in this stage. Its bytecode is made
# here, since nothing can be written where it runs.
RUN python -m venv --without-pip /opt/bridged \
    && PIP_CONSTRAINT=constraints.txt python -m pip --python /opt/bridged/bin/python install \
        --no-cache-dir --no-compile --disable-pip-version-check '.[alerts,tracing]' \
    && python -m compileall -q -j 0 /opt/bridged/lib \
    && install -d -m 0700 /rootfs/var/lib/bridged /rootfs/etc/bridged

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="bridged" \
      org.opencontainers.image.description="Vendor events into NATS JetStream, each exactly once" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/bridged /opt/bridged
COPY --from=build --chown=65532:65532 /rootfs/ /
ENV PATH=/opt/bridged/bin:$PATH \
    HOME=/var/lib/bridged \
    STATE_DIRECTORY=/var/lib/bridged \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that an orchestrator can see that it is not root.
USER 65532:65532
VOLUME /var/lib/bridged
WORKDIR /var/lib/bridged
# Page, health and metrics are on 127.0.0.1:8790 unless [status] says otherwise; webhooks where [ingress] says.
EXPOSE 8790 8791
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["bridged", "health", "--live"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["bridged"]
CMD ["run"]
