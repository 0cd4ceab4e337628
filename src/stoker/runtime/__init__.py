"""Run a plan: the supervisor, its state, readiness and what to say when it fails."""

from stoker.runtime.adoption import look_at, plan_for
from stoker.runtime.arguments import overridden
from stoker.runtime.deploy import (
    Run,
    already_running,
    check_can_start,
    container_lines,
    dry_run,
    engine_memory_bytes,
    follow,
    reclaimable_bytes,
    serve,
    start,
    stop,
)
from stoker.runtime.diagnose import Change, Diagnosis, diagnose
from stoker.runtime.history import last_start_s
from stoker.runtime.logs import follow as follow_log
from stoker.runtime.logs import lines as log_lines
from stoker.runtime.logs import parse_since
from stoker.runtime.logs import path as log_path
from stoker.runtime.placing import place
from stoker.runtime.prepare import choose_and_prepare
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
    "choose_and_prepare",
    "container_lines",
    "current",
    "diagnose",
    "dry_run",
    "engine_memory_bytes",
    "follow",
    "follow_log",
    "last_start_s",
    "log_lines",
    "log_path",
    "look_at",
    "overridden",
    "parse_since",
    "place",
    "plan_for",
    "reclaimable_bytes",
    "serve",
    "start",
    "stop",
]
