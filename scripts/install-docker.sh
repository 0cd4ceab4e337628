#!/usr/bin/env bash
# Install a Docker daemon and what the Docker tests build their base image with (Debian, Ubuntu).
#
# Nothing is started: the tests start a daemon of their own, with its own folders and socket.
set -euo pipefail

needed=()
command -v dockerd >/dev/null || needed+=(docker.io)
command -v iptables >/dev/null || needed+=(iptables)
command -v debootstrap >/dev/null || needed+=(debootstrap)
[ -x /usr/bin/docker-compose ] || needed+=(docker-compose) # version 1, to read deployment files
[ ${#needed[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null || {
  echo "install-docker: missing ${needed[*]}, and this is not Debian or Ubuntu. Install them." >&2
  exit 1
}
as_root=(env DEBIAN_FRONTEND=noninteractive)
[ "$(id -u)" -eq 0 ] || as_root=(sudo "${as_root[@]}")
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${needed[@]}" >/dev/null
