#!/usr/bin/env bash
# Ask the running endpoint which models it has, and then one question.
#   scripts/test-vllm.sh [ENDPOINT]     ENDPOINT: http://127.0.0.1:8000
set -euo pipefail
endpoint=${1:-http://127.0.0.1:8000}
model=$(curl -fsS "$endpoint/v1/models" | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"][0]["id"])')
echo "model: $model"
curl -fsS "$endpoint/v1/chat/completions" -H 'Content-Type: application/json' \
  -d "{\"model\": \"$model\", \"max_tokens\": 32, \"messages\": [{\"role\": \"user\", \"content\": \"Say hello.\"}]}" |
  python3 -c 'import json, sys; print("answer:", json.load(sys.stdin)["choices"][0]["message"]["content"])'
