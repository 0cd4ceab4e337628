"""Run a plan: the server process, its engine and its state, and why an engine failed."""

from stoker.server.adopted_plan import look_at, plan_for
from stoker.server.argument_overrides import overridden, spelled
from stoker.server.deployment_state import (
    CompletionSpec,
    Deployment,
    LaunchSpec,
    LiveState,
    PhaseRecord,
)
from stoker.server.deployment_state import read as current
from stoker.server.gateway_metrics import PrefillTotals, prefill_totals
from stoker.server.lifecycle import (
    already_running,
    check_can_start,
    container_lines,
    container_status,
    dry_run,
    dry_run_completion,
    engine_memory_bytes,
    engine_pids,
    follow,
    reclaimable_bytes,
    require_keys,
    require_recorded,
    serve,
    start,
    stop,
)
from stoker.server.log_file import decoded as decoded_lines
from stoker.server.log_file import follow as follow_log
from stoker.server.log_file import lines as read_log
from stoker.server.log_file import parse_since
from stoker.server.log_file import path as log_path
from stoker.server.own_key import headers as own_headers
from stoker.server.own_key import read as gateway_key
from stoker.server.ports import holder as port_holder
from stoker.server.ports import is_free as port_is_free
from stoker.server.ports import next_free as next_free_port
from stoker.server.processes import ProcessId
from stoker.server.start_durations import last_start_s
from stoker.server.supervisor_lock import alone_tuning

__all__ = [
    "CompletionSpec",
    "Deployment",
    "LaunchSpec",
    "LiveState",
    "PhaseRecord",
    "PrefillTotals",
    "ProcessId",
    "alone_tuning",
    "already_running",
    "check_can_start",
    "container_lines",
    "container_status",
    "current",
    "decoded_lines",
    "dry_run",
    "dry_run_completion",
    "engine_memory_bytes",
    "engine_pids",
    "follow",
    "follow_log",
    "gateway_key",
    "last_start_s",
    "log_path",
    "look_at",
    "next_free_port",
    "overridden",
    "own_headers",
    "parse_since",
    "plan_for",
    "port_holder",
    "port_is_free",
    "prefill_totals",
    "read_log",
    "reclaimable_bytes",
    "require_keys",
    "require_recorded",
    "serve",
    "spelled",
    "start",
    "stop",
]
