"""A folder is written only where that loses nothing, and what was changed in it is found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support import deployment_sites

from stoker.application import LaunchRequest, deployment_site, imagined_machine
from stoker.application.deployment_site import SiteRecord
from stoker.deploy import SiteRequest
from stoker.errors import StokerError, UsageError

H100 = deployment_sites.PLANS / "h100.json"


def written(folder: Path, **changes: Any) -> SiteRecord:
    record = replace(deployment_sites.record("h100", "compose"), **changes)
    deployment_site.write(record, deployment_site.rendered(record), folder)
    return record


def read(folder: Path) -> SiteRecord:
    record = deployment_site.read_record(folder)
    assert record is not None
    return record


def test_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = written(tmp_path)
    again = read(tmp_path)
    assert replace(again, files={}) == record
    assert set(again.files) == {file.path for file in deployment_site.rendered(record)}
    assert deployment_site.edited(again, tmp_path) == []


def test_record_is_a_plan_for_another_deployment(tmp_path: Path) -> None:
    record = written(tmp_path)
    assert deployment_site.plan_in(tmp_path / deployment_site.RECORD) == record.plan


def test_folder_with_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for replacing in (False, True):
        with pytest.raises(UsageError, match="is not empty"):
            deployment_site.check_folder(tmp_path, replacing=replacing)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_folder_of_an_earlier_deployment_needs_the_option(tmp_path: Path) -> None:
    record = written(tmp_path)
    with pytest.raises(UsageError, match="holds a deployment"):
        deployment_site.check_folder(tmp_path, replacing=False)
    before = deployment_site.check_folder(tmp_path, replacing=True)
    assert before is not None
    assert before.plan == record.plan


def test_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        deployment_site.check_folder(tmp_path / "out", replacing=False)


def test_edited_and_removed_files_are_found(tmp_path: Path) -> None:
    written(tmp_path)
    compose = tmp_path / "compose.yaml"
    compose.write_text(compose.read_text() + "# mine\n")
    (tmp_path / "upgrade.sh").unlink()
    changes = deployment_site.edited(read(tmp_path), tmp_path)
    assert {change.path: change.now is None for change in changes} == {
        "compose.yaml": False,
        "upgrade.sh": True,
    }
    assert changes[0].now == f"{changes[0].written}# mine\n"


def test_line_ends_of_windows_are_a_change(tmp_path: Path) -> None:
    written(tmp_path)
    script = tmp_path / "upgrade.sh"
    script.write_bytes(script.read_bytes().replace(b"\n", b"\r\n"))
    assert [change.path for change in deployment_site.edited(read(tmp_path), tmp_path)] == [
        "upgrade.sh"
    ]


def test_file_that_was_put_beside_them_is_found_and_what_belongs_there_is_not(
    tmp_path: Path,
) -> None:
    written(tmp_path)
    for path in ("secrets/tls.key", "image/wheels/own.whl", "compose.yaml.edited", ".git/config"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("")
    assert deployment_site.added(read(tmp_path), tmp_path) == []
    (tmp_path / "compose.override.yaml").write_text("services: {}")
    (found,) = deployment_site.added(read(tmp_path), tmp_path)
    assert (found.path, found.written) == ("compose.override.yaml", None)


def test_replacing_keeps_what_was_edited_and_secrets_and_removes_what_is_no_longer_written(
    tmp_path: Path,
) -> None:
    record = written(tmp_path)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/engine.key").write_text("secret")
    (tmp_path / "compose.yaml").write_text("mine")
    one_gateway = replace(record, request=replace(record.request, gateways=1, monitoring=False))
    kept = deployment_site.write(one_gateway, deployment_site.rendered(one_gateway), tmp_path)
    assert kept == ("compose.yaml.edited",)
    assert (tmp_path / "compose.yaml.edited").read_text() == "mine"
    assert (tmp_path / "secrets/engine.key").read_text() == "secret"
    assert not (tmp_path / "prometheus/prometheus.yml").exists()
    assert deployment_site.edited(read(tmp_path), tmp_path) == []


def test_new_model_answers_for_the_one_before_and_not_for_itself() -> None:
    before = deployment_sites.record("l40s", "compose")
    plan = deployment_sites.record("rtx-4060", "compose").plan
    request = SiteRequest("compose")
    changed = deployment_site.new_record(request, plan, None, before)
    assert changed.earlier_models == (before.plan.model.served_name, *before.earlier_models)
    back = deployment_site.new_record(request, before.plan, None, changed)
    assert plan.model.served_name in back.earlier_models
    assert before.plan.model.served_name not in back.earlier_models


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("not JSON", "is not JSON"),
        (H100.read_text()[:1000], "is not JSON"),
        ("[" * 200_000, "is not JSON"),
        ("[1]", "holds no plan"),
        ('{"plans": [{"model": 1}]}', "holds no plan"),
        ("{}", "holds no plan"),
    ],
)
def test_file_without_a_plan_is_named(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=words):
        deployment_site.plan_in(path)


def test_file_of_a_plan_that_failed_repeats_why(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"error": {"what": "Nothing fits.", "why": "", "fix": ""}}))
    with pytest.raises(UsageError, match="holds no plan") as refused:
        deployment_site.plan_in(path)
    assert "Nothing fits." in refused.value.why


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        deployment_site.plan_in(tmp_path / "plan.json")


def test_plans_of_engines_that_are_not_deployed_are_refused(tmp_path: Path) -> None:
    content = json.loads(H100.read_text())
    content["plans"][0]["engine"] = "llama.cpp"
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(content))
    with pytest.raises(StokerError, match="No plan in") as refused:
        deployment_site.plan_in(path)
    assert refused.value.exit_code == 1
    assert "llama.cpp" in refused.value.why


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "a\\..\\b", ""])
def test_record_that_names_a_file_outside_is_refused(tmp_path: Path, path: str) -> None:
    written(tmp_path)
    record = json.loads((tmp_path / deployment_site.RECORD).read_text())
    record["files"][path] = "0" * 64
    (tmp_path / deployment_site.RECORD).write_text(json.dumps(record))
    with pytest.raises(UsageError, match="can't be read"):
        deployment_site.read_record(tmp_path)


def test_record_of_a_later_schema_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    record = json.loads((tmp_path / deployment_site.RECORD).read_text())
    (tmp_path / deployment_site.RECORD).write_text(json.dumps({**record, "schema_version": 2}))
    with pytest.raises(UsageError, match="its schema is 2"):
        deployment_site.read_record(tmp_path)


def test_record_holds_no_chat_template_and_no_secret(tmp_path: Path) -> None:
    written(tmp_path)
    model = json.loads((tmp_path / deployment_site.RECORD).read_text())["plan"]["model"]
    assert model["chat_template"] is None
    assert model["architecture"] is None


def test_replicas_divide_a_machine_among_them() -> None:
    machine = imagined_machine("RTX 3090", 4)
    request = SiteRequest("compose", replicas=2, users=10)
    plan = deployment_site.plan_here(request, LaunchRequest(), machine)
    assert plan.gpus <= 2
    record = deployment_site.new_record(request, plan, machine, None)
    assert record.machine_gpus == 4


def test_more_replicas_than_gpus_are_refused_before_anything_is_planned() -> None:
    with pytest.raises(UsageError, match="2 replicas do not fit"):
        deployment_site.plan_here(
            SiteRequest("compose", replicas=2), LaunchRequest(), imagined_machine("H100", 1)
        )


def test_no_plan_that_fits_is_one_error() -> None:
    with pytest.raises(StokerError) as refused:
        deployment_site.plan_here(
            SiteRequest("compose"),
            LaunchRequest(model="moonshotai/Kimi-K2.7-Code"),
            imagined_machine("RTX 4060 8GB", 1),
        )
    assert refused.value.what
    assert refused.value.fix
