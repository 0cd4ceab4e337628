#!/usr/bin/env bash
# Stop what `stoker up` started, and free its memory. `--keep` keeps the stopped container.
exec "$(dirname "${BASH_SOURCE[0]}")/run-stoker.sh" down "$@"
