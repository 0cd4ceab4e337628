#!/usr/bin/env bash
# The tiers that need real parts, one after the other: each installs what it needs first.
# `scripts/test-all.sh vllm docker` runs only the tiers that it names.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python

tier() {
  echo "== tier: $1 ($(date +%T))"
  "$python" -m pytest tests/integration tests/e2e tests/clients -m "$1" --durations=5
}

for name in ${*:-engine databases clients vllm docker extension vscode}; do
  case $name in
    docker)
      if [ "$(uname)" = Linux ] && [ "$(id -u)" -eq 0 ]; then
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
