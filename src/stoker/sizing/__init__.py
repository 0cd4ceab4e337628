"""How people use models over time, and what a fleet of servers makes of it, simulated. Pure.

Nothing here opens a socket, asks an engine or names one: step times come as plain values.
"""

from stoker.sizing.distributions import LogNormal
from stoker.sizing.estimates import Estimate, Latency
from stoker.sizing.fleet import Fleet, LlamaCppReplica, Replica, Routing, VllmReplica
from stoker.sizing.recording import Slice
from stoker.sizing.simulation import KindResult, SimulationResult, simulate
from stoker.sizing.step_calibration import MeasuredAnswer, MeasuredRound, calibrate
from stoker.sizing.step_times import StepTimes
from stoker.sizing.trace import read_trace
from stoker.sizing.workload import (
    AGENT,
    CHAT,
    COMPLETION,
    OFFICE_DAY,
    ArrivingRequest,
    SessionShape,
    Workload,
    draw_requests,
)

__all__ = [
    "AGENT",
    "CHAT",
    "COMPLETION",
    "OFFICE_DAY",
    "ArrivingRequest",
    "Estimate",
    "Fleet",
    "KindResult",
    "Latency",
    "LlamaCppReplica",
    "LogNormal",
    "MeasuredAnswer",
    "MeasuredRound",
    "Replica",
    "Routing",
    "SessionShape",
    "SimulationResult",
    "Slice",
    "StepTimes",
    "VllmReplica",
    "Workload",
    "calibrate",
    "draw_requests",
    "read_trace",
    "simulate",
]
