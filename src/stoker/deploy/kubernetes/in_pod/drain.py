"""Runs in a replica's container before Kubernetes stops it: waits until no request is left.

``drain.py PORT METRICS_PATH SETTLE_S METRIC...``: the metrics that count requests. Kubernetes ends
the wait by itself when the pod's grace period is over. It imports nothing of Stoker.
"""

from __future__ import annotations

import http.client
import sys
import time

#: Between two looks, in seconds.
_POLL_S = 1.0


def requests_left(port: int, path: str, metrics: tuple[str, ...]) -> float:
    """The sum of the metrics; 0 where no server listens, 1 where it is too busy to answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        text = connection.getresponse().read().decode()
    except TimeoutError:
        return 1.0
    except OSError:
        return 0.0
    finally:
        connection.close()
    rows = (line for line in text.splitlines() if line.partition("{")[0].split(" ")[0] in metrics)
    return sum(float(line.rpartition(" ")[2]) for line in rows)


def main(port: str, path: str, settle_s: str, *metrics: str) -> None:
    """Wait until requests on their way have arrived, then until none is left."""
    time.sleep(float(settle_s))
    while requests_left(int(port), path, metrics) > 0:
        time.sleep(_POLL_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
