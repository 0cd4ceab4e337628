"""``stoker deploy kubernetes --cluster``: what only a cluster is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.deployment_sites import PLANS
from typer.testing import CliRunner

from stoker.application import deployment_site
from stoker.cli import app
from stoker.errors import UsageError

pytestmark = pytest.mark.usefixtures("home")

PLAN = str(PLANS / "l40s.json")


def deploy(folder: Path, *options: str, format_name: str = "kubernetes") -> str:
    arguments = ["deploy", format_name, "--from", PLAN, "-o", str(folder), *options]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_files_have_what_was_chosen_and_the_steps_name_it(tmp_path: Path) -> None:
    chosen = ("pool=green", "namespace=llm", "max_replicas=6", "autoscaler=hpa")
    options = [part for value in chosen for part in ("--cluster", value)]
    printed = deploy(tmp_path / "site", *options)
    engine = (tmp_path / "site" / "engine.yaml").read_text()
    scaler = (tmp_path / "site" / "autoscaling.yaml").read_text()
    assert "name: stoker-green-engine" in engine
    assert "kind: HorizontalPodAutoscaler" in scaler
    assert "maxReplicas: 6" in scaler
    assert "kubectl -n llm create secret generic stoker-secrets" in printed
    assert "kubectl apply -k ." in printed


def test_a_second_pool_answers_to_the_name_of_the_first_model(tmp_path: Path) -> None:
    deploy(tmp_path / "green")
    other = str(PLANS / "rtx-4060.json")
    deploy(tmp_path / "green", "--from", other, "--cluster", "pool=green", "--replace")
    engine = (tmp_path / "green" / "engine.yaml").read_text()
    after_flag = engine.partition("--served-model-name")[2].splitlines()[1:3]
    served = [line.strip(" -") for line in after_flag]
    assert served == [
        deployment_site.plan_in(Path(plan)).model.served_name for plan in (other, PLAN)
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("pool", "sets nothing"),
        ("colour=green", "sets nothing"),
        ("pool=", "sets nothing"),
        ("max_replicas=many", "is not a number"),
        ("max_replicas=99999", "is not a number"),
        ("gateway_class=nginx", "does not know the gateway class"),
    ],
)
def test_a_choice_that_is_none_is_refused(given: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        deploy(tmp_path / "site", "--cluster", given)
    assert not (tmp_path / "site").exists()


def test_a_chart_is_written_with_the_command_that_installs_it(tmp_path: Path) -> None:
    printed = deploy(tmp_path / "chart", format_name="helm")
    assert "helm upgrade --install stoker ." in printed
    assert (tmp_path / "chart" / "values.schema.json").exists()
