"""How vllm-router is started in front of a site's replicas.

Flags are of vllm-router 0.1.17, which passes a request's key on to the replica, but not at
``/tokenize``. With its defaults, the first requests after a replica has died are answered 500, and
a dead replica is found after up to three minutes.
"""

from __future__ import annotations

from collections.abc import Sequence

from stoker.deploy.site_file import Line
from stoker.engines import ReplicaContainer
from stoker.planning import Argument

#: What gateways ask replicas for and the router asks without the key.
_ASKED_WITHOUT_KEY = "/tokenize"


def routed_env(engine: ReplicaContainer) -> tuple[Argument, ...]:
    """The variables of a replica that stands behind the router."""
    if not engine.open_paths_variable:
        return engine.env
    why = (
        "counting the tokens of a prompt needs no key: the router does not pass it on there. "
        "Whatever runs a model still needs it"
    )
    return (*engine.env, Argument(engine.open_paths_variable, _ASKED_WITHOUT_KEY, why))


def router_command(
    engine: ReplicaContainer, workers: Sequence[str], host: str, port: int, metrics_port: int
) -> list[Line]:
    """The command, one flag with its value in each line, with the reason for it."""
    return [
        Line("vllm-router"),
        Line(f"--host {host}"),
        Line(f"--port {port}"),
        Line(f"--prometheus-host {host}", "its own metrics, for Prometheus"),
        Line(f"--prometheus-port {metrics_port}"),
        Line(f"--worker-urls {' '.join(workers)}", "the replicas"),
        Line(
            "--policy consistent_hash",
            "the gateways name the conversation of each request, and all requests of one go to the "
            "replica that has read its beginning, through whichever gateway and router they come. "
            "With cache_aware, the default, a replica renders each prompt first, and in a "
            "measurement less of it came from the cache",
        ),
        Line(
            f"--worker-startup-timeout-secs {engine.first_start_s}",
            "it waits for the first replica through a download and a compilation",
        ),
        Line("--worker-startup-check-interval 5", "every 5 s instead of 30"),
        Line("--health-check-interval-secs 2", "a replica that died is found in 2 s instead of 60"),
        Line("--health-check-timeout-secs 2"),
        Line("--health-failure-threshold 1", "one failed check is enough"),
        Line("--health-success-threshold 1", "and one that succeeds brings it back"),
        Line(
            "--cb-failure-threshold 1",
            "after one refused connection the retry goes to another replica: with the default, 10, "
            "all retries go to the dead one and the client gets 500",
        ),
        Line("--cb-timeout-duration-secs 5", "after 5 s it is tried again"),
        Line(
            "--request-timeout-secs 7200",
            "long answers are not cut: the gateway decides when to give up",
        ),
        Line("--log-level warning", "one line for each request would fill the disk"),
    ]
