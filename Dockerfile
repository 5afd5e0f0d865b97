# The image that stage-in.cwl names: `make image` builds it.
FROM debian:trixie-slim AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3-venv python3-hatchling
COPY command-line-tools/stage-in /src
RUN python3 -m venv --system-site-packages /pip \
 && python3 -m venv --without-pip /opt/stage-in \
 && /pip/bin/pip --python /opt/stage-in/bin/python3 install --no-cache-dir \
      --require-hashes --only-binary :all: --requirement /src/requirements.lock
RUN /pip/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel /src \
 && /pip/bin/pip --python /opt/stage-in/bin/python3 install --no-deps /wheel/*.whl

FROM debian:trixie-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/stage-in /opt/stage-in
ENV PATH=/opt/stage-in/bin:$PATH
