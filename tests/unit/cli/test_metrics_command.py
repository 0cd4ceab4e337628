"""``stoker metrics`` prints files that Grafana and Prometheus read as they are."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from typer.testing import CliRunner

from stoker.cli import app
from stoker.gateway.usage.metrics import Metrics


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["metrics", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def served() -> set[str]:
    """The names of all series that a gateway can have."""
    text = Metrics().text(with_owners=True).decode()
    kinds: list[tuple[str, str]] = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    names = {name for name, _ in kinds}
    histograms = {name for name, kind in kinds if kind == "histogram"}
    return names | {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}


def named(document: Any) -> set[str]:
    """The metrics in the expressions of a document."""
    return set(re.findall(r"\b(?:stoker|gen_ai_(?:client|server))_\w+", json.dumps(document)))


def test_dashboard_is_json_that_reads_only_metrics_that_exist() -> None:
    dashboard = json.loads(printed("dashboard"))
    assert dashboard["id"] is None, "Grafana gives a number of its own when it is provisioned"
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)) > 20
    assert named(dashboard) <= served()
    assert dashboard == json.loads(printed("dashboard", "--json"))


def test_rules_read_only_metrics_that_exist() -> None:
    rules = YAML(typ="safe").load(StringIO(printed("rules")))
    assert rules == json.loads(printed("rules", "--json"))
    alerts = rules["groups"][0]["rules"]
    assert len(alerts) >= 8
    assert named([alert["expr"] for alert in alerts]) <= served()
    for alert in alerts:
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert alert["annotations"].keys() == {"summary", "description"}


def test_no_panel_covers_another_or_leaves_the_page() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(printed("dashboard"))["panels"]:
        at = panel["gridPos"]
        columns = range(at["x"], at["x"] + at["w"])
        cells = {(x, y) for x in columns for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(columns) < 24, panel["title"]
        taken |= cells
