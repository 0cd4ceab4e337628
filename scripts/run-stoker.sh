#!/usr/bin/env bash
# Run the stoker that `make up` installed in this clone, or else the one on PATH.
#   scripts/run-stoker.sh COMMAND [OPTIONS]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
stoker=$root/.venv/bin/stoker
[[ -x $stoker ]] || stoker=$(command -v stoker) || {
  echo "Stoker is not installed. Fix: make up" >&2
  exit 1
}
exec "$stoker" "$@"
