# `make image` builds this image, which stage-in.cwl names.
FROM debian:trixie-slim AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends binutils python3-hatchling python3-venv
RUN python3 -m venv --system-site-packages /pip \
 && python3 -m venv --without-pip /opt/stage-in
# Behind a proxy with its own certificate, mount the certificate bundle and set this to its path.
ARG PIP_CERT
ENV PIP_PYTHON=/opt/stage-in/bin/python3 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY command-line-tools/stage-in/requirements.lock /
RUN /pip/bin/pip install --require-hashes --only-binary :all: --requirement /requirements.lock
# Remove what no run needs: the tests of the packages, the files for compilers and type checkers, and
# debug symbols.
RUN cd /opt/stage-in/lib/python3*/site-packages \
 && find . -depth -type d -name tests -exec rm -r {} + \
 && find . -type f -regex '.*\.\(pyi\|pyx\|pxd\|c\|h\|a\)' -delete \
 && find . -name '*.so' -exec strip --strip-unneeded {} +
COPY command-line-tools /src
RUN PIP_PYTHON= /pip/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels /src/* \
 && /pip/bin/pip install --no-deps /wheels/*.whl

FROM debian:trixie-slim
# Calrissian starts the tool by `sh -c`. As process 1, dash would ignore the SIGTERM of Kubernetes; bash
# replaces itself by the tool, which then stops at once.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 \
 && ln -sf bash /usr/bin/sh \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/log/*
COPY --from=build /opt/stage-in /opt/stage-in
ENV PATH=/opt/stage-in/bin:$PATH LANG=C.UTF-8
# Runners set their own uid; the default must not be root. There is no ENTRYPOINT because runners
# expect their command to be the process.
USER 65532:65532
CMD ["stage-in", "--help"]
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="stage-in" \
      org.opencontainers.image.description="Stages Sentinel-2 Level-1C products from the Copernicus Data Space as verified STAC catalogs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
