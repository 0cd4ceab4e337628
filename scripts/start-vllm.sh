#!/usr/bin/env bash
# Start vLLM behind Stoker's gateway. All options are those of `stoker up`.
exec "$(dirname "${BASH_SOURCE[0]}")/run-stoker.sh" up --engine vllm "$@"
