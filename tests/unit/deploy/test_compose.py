"""What Docker Compose's file promises: who reaches whom, no secret, and no GPU shared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.support import deployment_sites
from tests.support.deployment_sites import SITES

from stoker.application import deployment_site
from stoker.deploy import SiteFile


def files(name: str, **changes: Any) -> dict[str, SiteFile]:
    record = deployment_sites.record(name, "compose")
    record = replace(record, request=replace(record.request, **changes))
    return {file.path: file for file in deployment_site.rendered(record)}


def services(name: str, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(files(name, **changes)["compose.yaml"].text)
    return dict(found["services"])


def networks(service: dict[str, Any]) -> set[str]:
    return set(service["networks"])


def sharing(all_of_them: dict[str, Any], name: str) -> set[str]:
    """The services that share a network with this one."""
    own = networks(all_of_them[name])
    return {other for other, service in all_of_them.items() if own & networks(service)} - {name}


def test_only_the_routers_reach_a_replica() -> None:
    found = services("cpu-folder")
    assert sharing(found, "replica-1") == {"replica-2", "router-1", "router-2"}


def test_replicas_that_fetch_their_model_meet_nothing_else_on_the_way_out() -> None:
    compose = YAML(typ="safe").load(files("h100")["compose.yaml"].text)
    users = [n for n, s in compose["services"].items() if "downloads" in s["networks"]]
    assert users == ["replica-1", "replica-2"]
    options = compose["networks"]["downloads"]["driver_opts"]
    assert options == {"com.docker.network.bridge.enable_icc": "false"}


def test_stores_are_reached_by_the_gateways_only() -> None:
    found = services("h100")
    for store in ("postgres", "redis"):
        assert sharing(found, store) - {"postgres", "redis"} == {"gateway-1", "gateway-2"}


def test_every_network_but_two_is_internal() -> None:
    compose = YAML(typ="safe").load(files("h100")["compose.yaml"].text)
    open_ = {n for n, options in compose["networks"].items() if not options.get("internal")}
    assert open_ == {"edge", "downloads"}


@pytest.mark.parametrize("name", SITES)
def test_only_the_front_is_published_to_others(name: str) -> None:
    published = {n: s["ports"] for n, s in services(name).items() if "ports" in s}
    published.pop("prometheus", None)
    assert list(published) == ["front"]
    assert services(name).get("prometheus", {}).get("ports", ["127.0.0.1:9090:9090"]) == [
        "127.0.0.1:9090:9090"
    ]


@pytest.mark.parametrize("name", SITES)
def test_no_two_replicas_share_a_gpu(name: str) -> None:
    taken = [
        gpu
        for service in services(name).values()
        if "deploy" in service
        for device in service["deploy"]["resources"]["reservations"]["devices"]
        for gpu in device["device_ids"]
    ]
    assert len(set(taken)) == len(taken)
    assert len(taken) == deployment_site.site_for(deployment_sites.record(name, "compose")).gpus


def test_one_gateway_needs_no_shared_store() -> None:
    assert not {"postgres", "redis"} & set(services("rtx-4060"))
    text = files("rtx-4060")["gateway/gateway.toml"].text
    assert "limits_store" not in text
    assert "usage" not in text


def test_each_service_restarts_has_bounded_logs_and_gains_no_privileges() -> None:
    for name, service in services("h100").items():
        assert service["restart"] == "unless-stopped", name
        assert service["logging"]["options"]["max-size"] == "20m", name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_a_first_start_is_given_time_and_a_stop_too() -> None:
    replica = services("h100")["replica-1"]
    assert replica["healthcheck"]["start_period"] == "7200s"
    assert replica["stop_grace_period"] == "900s"


def test_gateway_is_killed_later_than_it_gives_up_by_itself() -> None:
    grace = services("h100")["gateway-1"]["stop_grace_period"]
    (drain,) = [
        line.partition("=")[2]
        for line in files("h100")["gateway/gateway.toml"].text.splitlines()
        if line.startswith("drain_s")
    ]
    assert float(grace.removesuffix("s")) > float(drain)


def test_variable_marks_in_arguments_reach_the_engine_as_they_are() -> None:
    from stoker.deploy.compose import _quoted  # noqa: PLC0415

    assert _quoted('{"a": "$HOME"}') == '"{\\"a\\": \\"$$HOME\\"}"'


def test_model_that_was_served_before_is_still_answered_for() -> None:
    command = services("l40s")["replica-1"]["command"]
    names = command[command.index("--served-model-name") + 1 :][:2]
    assert names == ["qwen3.8-27b", "qwen3.6-27b"]


def test_model_folder_is_mounted_to_read_and_nothing_is_fetched() -> None:
    replica = services("cpu-folder")["replica-1"]
    assert replica["volumes"][0] == {
        "type": "bind",
        "source": "/srv/models/qwen2.5-coder-0.5b",
        "target": "/model",
        "read_only": True,
    }
    assert replica["environment"]["HF_HUB_OFFLINE"] == "1"
    assert "hub.env" not in str(replica["env_file"])


@pytest.mark.parametrize("name", SITES)
def test_no_service_but_the_store_keeps_roots_powers(name: str) -> None:
    found = services(name)
    assert {n for n, s in found.items() if s.get("cap_drop") != ["ALL"]} <= {"postgres"}
    given = {n: s["cap_add"] for n, s in found.items() if "cap_add" in s}
    assert all(n.startswith("replica-") and added == ["DAC_OVERRIDE"] for n, added in given.items())
    for service in found.values():
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["logging"]["options"] == {"max-size": "20m", "max-file": "3"}
