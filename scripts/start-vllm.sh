#!/usr/bin/env bash
# Start vLLM behind Stoker's gateway. All options are those of `stoker up`.
exec stoker up --engine vllm "$@"
