"""Prometheus in a site: what it reads, and the alerts."""

from __future__ import annotations

from collections.abc import Sequence

from stoker import monitoring
from stoker.deploy.site_file import Line, SiteFile


def prometheus_files(
    gateways: Sequence[str], routers: Sequence[str], *, key_file: str, rules: str
) -> tuple[SiteFile, ...]:
    """Its configuration, and Stoker's alerts as ``rules`` beside it."""
    return (
        SiteFile.of("prometheus/prometheus.yml", _configuration(gateways, routers, key_file)),
        SiteFile(f"prometheus/{rules}", monitoring.rules()),
    )


def _configuration(
    gateways: Sequence[str], routers: Sequence[str], key_file: str
) -> list[Line | str]:
    return [
        "global:",
        Line("  scrape_interval: 15s", "the alerts look at minutes"),
        Line("rule_files: [stoker_rules.yaml]", "what stoker metrics rules prints"),
        "scrape_configs:",
        Line("  - job_name: stoker", "the alerts use this name"),
        "    authorization:",
        Line(f"      credentials_file: {key_file}", "/metrics needs a key, as everything does"),
        "    static_configs:",
        f"      - targets: [{', '.join(gateways)}]",
        Line("  - job_name: vllm-router", "how the requests are spread over the replicas"),
        "    static_configs:",
        f"      - targets: [{', '.join(routers)}]",
    ]
