#!/usr/bin/env bash
# The tiers that need real parts: each installs what it needs first.
# `scripts/test-all.sh vllm docker` runs only the tiers that it names, one after the other.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python

tier() {
  echo "== tier: $1 ($(date +%T))"
  "$python" -m pytest tests/integration tests/e2e tests/clients -m "$1" --durations=15
}

can_start_docker() { [ "$(uname)" = Linux ] && [ "$(id -u)" -eq 0 ]; }

run() {
  for name in "$@"; do
    case $name in
      docker)
        if can_start_docker; then
          tier docker
        else
          echo "== tier: docker: skipped, because it starts its own Docker daemon, which needs root on Linux"
        fi
        ;;
      extension)
        echo "== tier: extension ($(date +%T))"
        scripts/test-extension.sh
        ;;
      *) tier "$name" ;;
    esac
  done
}

if [ $# -gt 0 ]; then
  run "$@"
  exit
fi

# Where another tier runs beside it, a tier's output is kept until both have ended. Each runs in the
# background, because bash ignores failures inside what stands before ||.
beside() {
  "${@:2}" >"artifacts/tiers-$1.log" 2>&1 &
}

ended() {
  local failed=0
  wait "$2" || failed=$?
  cat "artifacts/tiers-$1.log"
  return "$failed"
}

mkdir -p artifacts
trap 'trap - TERM; kill 0' INT TERM
# The engine tier leaves a core idle most of the time, and what the databases share is counted by
# the second: neither has vLLM beside it.
beside engine run engine
engine=$!
failed=0
run databases &
wait $! || failed=$?
ended engine "$engine" || failed=$?
[ "$failed" -eq 0 ] || exit "$failed"
# Docker's tier mostly waits for one container after the other, and vLLM's for one start after the
# other, so the light tiers run beside them. Docker's packages come first: two runs of apt-get
# exclude each other.
if can_start_docker; then scripts/install-docker.sh; fi
beside docker-vllm run docker vllm
heavy=$!
run clients extension kubernetes &
wait $! || failed=$?
ended docker-vllm "$heavy" || failed=$?
[ "$failed" -eq 0 ] || exit "$failed"
run vscode
