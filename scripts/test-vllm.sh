#!/usr/bin/env bash
# Check what an editor can rely on at an endpoint: every check of `stoker test`.
#   scripts/test-vllm.sh [ENDPOINT] [OPTIONS]     ENDPOINT: http://127.0.0.1:8000
# Options are those of `stoker test`: --only stream, --json, --html FILE ...
set -euo pipefail
endpoint=http://127.0.0.1:8000
if [[ ${1:-} == http* ]]; then
  endpoint=$1
  shift
fi
exec "$(dirname "${BASH_SOURCE[0]}")/run-stoker.sh" test "$endpoint" "$@"
