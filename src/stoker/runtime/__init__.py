"""Run a plan: the supervisor, its state, readiness and what to say when it fails."""

from stoker.runtime.adoption import look_at, plan_for
from stoker.runtime.arguments import overridden
from stoker.runtime.deploy import (
    Run,
    already_running,
    check_can_start,
    container_lines,
    container_status,
    dry_run,
    engine_memory_bytes,
    engine_pids,
    follow,
    reclaimable_bytes,
    require_recorded,
    serve,
    start,
    stop,
)
from stoker.runtime.diagnose import Change, Diagnosis, diagnose
from stoker.runtime.history import last_start_s
from stoker.runtime.logs import decoded as decoded_lines
from stoker.runtime.logs import follow as follow_log
from stoker.runtime.logs import lines as log_lines
from stoker.runtime.logs import parse_since
from stoker.runtime.logs import path as log_path
from stoker.runtime.ports import holder as port_holder
from stoker.runtime.ports import is_free as port_is_free
from stoker.runtime.ports import next_free as next_free_port
from stoker.runtime.state import Deployment, Problem
from stoker.runtime.state import read as current

__all__ = [
    "Change",
    "Deployment",
    "Diagnosis",
    "Problem",
    "Run",
    "already_running",
    "check_can_start",
    "container_lines",
    "container_status",
    "current",
    "decoded_lines",
    "diagnose",
    "dry_run",
    "engine_memory_bytes",
    "engine_pids",
    "follow",
    "follow_log",
    "last_start_s",
    "log_lines",
    "log_path",
    "look_at",
    "next_free_port",
    "overridden",
    "parse_since",
    "plan_for",
    "port_holder",
    "port_is_free",
    "reclaimable_bytes",
    "require_recorded",
    "serve",
    "start",
    "stop",
]
