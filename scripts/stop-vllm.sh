#!/usr/bin/env bash
# Stop what `stoker up` started, and free its memory. `--keep` keeps the stopped container.
exec stoker down "$@"
