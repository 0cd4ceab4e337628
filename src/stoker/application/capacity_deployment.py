"""From the answer of ``stoker size`` to what ``stoker deploy`` writes."""

from __future__ import annotations

from stoker.application.capacity import CapacityReport
from stoker.deploy import MOST_REPLICAS, SiteRequest, exporter_for
from stoker.errors import StokerError, UsageError

_ONE_MACHINE, _SEVERAL_MACHINES = "compose", "kubernetes"


def deployment_of(report: CapacityReport, format_name: str | None = None) -> SiteRequest:
    """How the recommended fleet is deployed: all of its copies, the spare ones too.

    Without a format it is compose for one server, and Kubernetes for several. Raises ``UsageError``
    for a format that is for one machine where several are needed, ``StokerError`` for a fleet that
    is larger than one deployment.
    """
    best = report.best
    if best.replicas > MOST_REPLICAS:
        raise StokerError(
            f"The recommended fleet is too large for one deployment: {best.replicas:,} copies of "
            f"the model, and one deployment has {MOST_REPLICAS} at most.",
            "One endpoint picker, which chooses a copy for each request, serves all of them.",
            "Size and deploy for parts of the developers: half of --developers, twice.",
        )
    default = _ONE_MACHINE if best.servers == 1 else _SEVERAL_MACHINES
    chosen = format_name or default
    if best.servers > 1 and exporter_for(chosen).one_machine:
        raise UsageError(
            f"The recommended fleet has {best.servers} servers, and {chosen} is for one machine.",
            "Spare servers count: --spare is 1 unless set.",
            "Use --format kubernetes or helm; or, without a spare server, add --spare 0.",
        )
    return SiteRequest(chosen, replicas=best.replicas, users=report.request.sized_developers)
