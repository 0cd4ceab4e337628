#!/usr/bin/env bash
# The tiers that need real parts, one after the other: each installs what it needs first.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python

tier() {
  echo "== tier: $1"
  "$python" -m pytest tests/integration tests/e2e -m "$1" --durations=5
}

tier engine
tier vllm
if [ "$(uname)" = Linux ] && [ "$(id -u)" -eq 0 ]; then
  tier docker
else
  echo "== tier: docker: left out, it starts a Docker daemon of its own, which takes root on Linux"
fi

scripts/test-extension.sh
