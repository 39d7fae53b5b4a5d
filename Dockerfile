# syntax=docker/dockerfile:1
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /gitmirror .

FROM debian:bookworm-slim
# git does the pack work; openssh-client is for upstreams reached over SSH.
RUN apt-get update \
 && apt-get install -y --no-install-recommends git openssh-client ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin gitmirror \
 && install -d -o gitmirror -g gitmirror -m 0700 /data
COPY --from=build /gitmirror /usr/local/bin/gitmirror
USER gitmirror
WORKDIR /data
VOLUME /data
ENV GITMIRROR_DATA=/data \
    GITMIRROR_HTTP_ADDR=0.0.0.0:8080 \
    GITMIRROR_SSH_ADDR=0.0.0.0:2222
EXPOSE 8080 2222
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["gitmirror", "healthcheck"]
ENTRYPOINT ["gitmirror"]
CMD ["serve"]
