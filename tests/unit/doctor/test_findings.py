"""Every finding comes from the state that it describes, and a healthy state has no fault."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from scripts import check_docs
from tests.unit.doctor import states
from tests.unit.doctor.states import (
    CONNECTED,
    DOCKER,
    DOCKER_OFF,
    EMPTY,
    GIB,
    HEALTHY,
    HERE,
    HOST,
    NO_PODMAN,
    PLAN,
    RTX,
    USER,
    WORKSPACE,
    answering,
    completing,
    deployed,
    gpu_process,
    host,
    in_editor,
    look,
    remote,
    settings,
)

from stoker.doctor import Finding, Readings, diagnose, is_whole, kinds, links
from stoker.doctor.run_checks import CHECKS
from stoker.doctor.snapshot import EndpointReading, ListedModel, ModelFile, Port
from stoker.engines import Options
from stoker.errors import Problem
from stoker.host import Gpu, HubAnswer, MemoryHolder
from stoker.models import Kept
from stoker.server import PhaseRecord
from stoker.vscode import Scope, SettingsFile

NOT_LOADED = "The NVIDIA driver is installed but not loaded: restart the machine."
GPU_PLAN = replace(PLAN, engine="vllm", gpus=1)
IN_DOCKER = Options(gpus=True, endpoint="unix:///var/run/docker.sock")
WITH_GPU = host(gpus=(RTX,), runtimes=(DOCKER, NO_PODMAN))
PROXIED = {"HTTPS_PROXY": "http://proxy.corp:3128"}
OLD = "http://127.0.0.1:1234"
OTHER = "http://gpu-box:8000"
ELSEWHERE = Problem("The server does not answer.", "It was stopped.", "Start it again.")


def in_workspace(value: object) -> SettingsFile:
    return SettingsFile(WORKSPACE, "workspace", {states.SETTING: value})


def setting(name: str, value: object) -> Readings:
    return in_editor(replace(CONNECTED, values={**CONNECTED.values, name: value}))


def short_model(longest: int) -> Readings:
    """A deployment with a window of 4,096 tokens, whose model supports ``longest``."""
    plan = replace(PLAN, model=replace(PLAN.model, max_context_tokens=longest), max_model_len=4096)
    answers = replace(states.ANSWERS, models=(ListedModel(PLAN.model.id, 4096),))
    return replace(deployed(plan=plan), endpoints={HERE: answers})


ONE = look(CONNECTED)
HARNESS_FIRST = settings(HERE, "mainAgent", {"chat.defaultToCopilotHarness": True})


def policy(values: Mapping[str, object]) -> SettingsFile:
    return SettingsFile(Path("/etc/vscode/policy.json"), "policy", values)


#: Finding -> a state of the chain that has it.
STATES: dict[str, Readings] = {
    "driver.ok": WITH_GPU,
    "driver.built-in": host(gpus=(Gpu(0, "amd", "AMD Radeon RX 7900 XTX", 24 * GIB, 20 * GIB),)),
    "driver.none": HEALTHY,
    "driver.unusable": host(problems=(NOT_LOADED,)),
    "driver.lost": replace(
        deployed(plan=replace(PLAN, gpus=1)), host=replace(HOST, problems=(NOT_LOADED,))
    ),
    "cuda.ok": WITH_GPU,
    "cuda.none": HEALTHY,
    "cuda.old": host(gpus=(replace(RTX, cuda="12.4", driver="550.54.14"),)),
    "cuda.gpu-old": host(gpus=(replace(RTX, name="Tesla V100", compute_capability=(7, 0)),)),
    "containers.ok": WITH_GPU,
    "containers.none": HEALTHY,
    "containers.idle": host(runtimes=(DOCKER_OFF, NO_PODMAN)),
    "containers.unusable": replace(
        EMPTY, host=replace(HOST, gpus=(RTX,), runtimes=(DOCKER_OFF, NO_PODMAN))
    ),
    "containers.lost": replace(
        deployed(IN_DOCKER, GPU_PLAN, container="vllm-server"),
        host=replace(HOST, runtimes=(DOCKER_OFF, NO_PODMAN)),
    ),
    "toolkit.ok": WITH_GPU,
    "toolkit.none": HEALTHY,
    "toolkit.missing": host(gpus=(RTX,), runtimes=(replace(DOCKER, nvidia=False),)),
    "toolkit.lost": replace(
        deployed(IN_DOCKER, GPU_PLAN, container="vllm-server"),
        host=replace(HOST, gpus=(RTX,), runtimes=(replace(DOCKER, nvidia=False),)),
    ),
    "port.ok": HEALTHY,
    "port.free": EMPTY,
    "port.taken": replace(EMPTY, port=Port("127.0.0.1", 8000, False, "nginx (pid 9)", 8001)),
    "port.stolen": replace(
        HEALTHY, running=False, port=Port("127.0.0.1", 8000, False, "nginx (pid 9)", 8001)
    ),
    "disk.ok": HEALTHY,
    "disk.low": host(disk=replace(HOST.disk, free_bytes=2 * GIB)),  # type: ignore[type-var]
    "disk.full": host(disk=replace(HOST.disk, free_bytes=1000)),  # type: ignore[type-var]
    "disk.unknown": host(disk=None),
    "disk.unwritable": replace(HEALTHY, unwritable=(Path("/home/ada/.local/state/stoker"),)),
    "memory.ok": HEALTHY,
    "memory.gpu-held": host(gpus=(replace(RTX, processes=(gpu_process(12),)),)),
    "memory.low": replace(
        host(memory=replace(HOST.memory, available_bytes=GIB)),
        memory_holders=(MemoryHolder(7, "firefox", 9 * GIB),),
    ),
    "memory.unknown": host(memory=replace(HOST.memory, total_bytes=0)),
    "models.ok": HEALTHY,
    "models.here": replace(EMPTY, models_here=2, kept=Kept(Path("/home/ada/models"), GIB)),
    "models.none": EMPTY,
    "models.unfinished": replace(
        HEALTHY, kept=Kept(Path("/home/ada/models"), unfinished=1, unfinished_bytes=GIB)
    ),
    "models.lost": replace(HEALTHY, model_file=ModelFile(Path("/home/ada/m.gguf"), None, GIB)),
    "models.changed": replace(HEALTHY, model_file=ModelFile(Path("/home/ada/m.gguf"), GIB, 5)),
    "hub.ok": HEALTHY,
    "hub.token": replace(HEALTHY, token="accepted"),
    "hub.token-unsure": replace(HEALTHY, token="set"),
    "hub.offline": replace(HEALTHY, offline=True, hub=None),
    "hub.unreachable": replace(HEALTHY, hub=HubAnswer(False)),
    "hub.untrusted": replace(HEALTHY, hub=HubAnswer(False, untrusted=True)),
    "hub.token-malformed": replace(HEALTHY, token="malformed"),
    "hub.token-refused": replace(HEALTHY, token="refused"),
    "proxy.none": HEALTHY,
    "proxy.ok": replace(HEALTHY, proxies=PROXIED, no_proxy="localhost, 127.0.0.1"),
    "proxy.loopback": replace(HEALTHY, proxies=PROXIED, no_proxy="127.0.0.1"),
    "proxy.malformed": replace(HEALTHY, proxies={"HTTP_PROXY": "proxy corp"}),
    "proxy.editor": replace(
        remote(OTHER),
        editors=(look(settings(OTHER, others={"http.proxy": "http://proxy.corp:3128"})),),
    ),
    "engine.ok": HEALTHY,
    "engine.elsewhere": remote(),
    "engine.none": EMPTY,
    "engine.starting": deployed(status="starting", phases=(PhaseRecord("load weights", 1.0),)),
    "engine.restarting": deployed(status="restarting"),
    "engine.restarted": deployed(restarts=2),
    "engine.failed": deployed(status="failed", problem=Problem("It crashed.", "OOM.", "Less.")),
    "engine.killed": replace(HEALTHY, running=False),
    "engine.gone": replace(HEALTHY, engine_alive=False),
    "engine.container-gone": replace(
        deployed(IN_DOCKER, container="vllm-server"), container_status="exited"
    ),
    "engine.silent": deployed(
        Options(adopted="http://10.0.0.5:11434", key="sk-adopted"),
        status="silent",
        problem=ELSEWHERE,
    ),
    "engine.completes": completing("ready"),
    "engine.completion-restarting": completing("restarting"),
    "engine.completion-failed": completing("failed", Problem("It crashed.", "OOM.", "Less.")),
    "gateway.ok": HEALTHY,
    "gateway.none": EMPTY,
    "gateway.silent": answering(failure="refused", status=None, models=None),
    "gateway.loading": answering(ready=False, models=()),
    "gateway.backends-down": answering(backends=3, backends_up=2),
    "gateway.stranger": answering(stoker_version=None),
    "gateway.older": answering(stoker_version="0.0.9"),
    "gateway.open": deployed(bind="0.0.0.0", insecure=True),
    "endpoint.ok": HEALTHY,
    "endpoint.none": EMPTY,
    "endpoint.refused": remote(failure="refused"),
    "endpoint.unresolved": remote(failure="unresolved"),
    "endpoint.timeout": remote(failure="timeout"),
    "endpoint.broken-off": remote(failure="broken-off"),
    "endpoint.certificate": remote(failure="certificate", certificate_fault="name"),
    "endpoint.key": remote(status=401, models=None),
    "endpoint.key-refused": remote(status=401, models=None, with_key=True),
    "endpoint.failing": remote(status=502, models=None),
    "endpoint.not-openai": remote(status=404, models=None),
    "endpoint.no-models": remote(models=()),
    "tls.none": HEALTHY,
    "tls.ok": remote(certificate_days=80),
    "tls.plain": remote("http://gpu-box:8000"),
    "tls.expiring": remote(certificate_days=5),
    "tls.expired": remote(failure="certificate", certificate_fault="expired"),
    "tls.name": remote(failure="certificate", certificate_fault="name"),
    "tls.untrusted": remote(failure="certificate", certificate_fault="untrusted"),
    "clock.ok": HEALTHY,
    "clock.unknown": replace(HEALTHY, hub=None, offline=True),
    "clock.off": remote(clock_ahead_s=-400.0),
    "editor.ok": HEALTHY,
    "editor.none": EMPTY,
    "editor.gone": replace(EMPTY, connected=(str(USER),)),
    "editor.old": in_editor(vscode="1.99.3"),
    "editor.silent": in_editor(vscode=None),
    "editor.profile": replace(
        HEALTHY, editors=(replace(ONE, editor=replace(ONE.editor, profile="Secret")),)
    ),
    "extension.ok": HEALTHY,
    "extension.forbidden": setting("extensions.allowed", {"microsoft": True, "stoker": False}),
    "extension.none": EMPTY,
    "extension.missing": in_editor(extension=None),
    "extension.older": in_editor(extension="0.0.9"),
    "extension.unknown": in_editor(listed=False, extension=None),
    "setting.ok": HEALTHY,
    "setting.none": EMPTY,
    "setting.missing": in_editor(settings(utility="mainAgent")),
    "setting.wrong": in_editor(settings(endpoint=OLD)),
    "setting.wrong-here": in_editor(in_workspace(OLD)),
    "setting.elsewhere": in_editor(settings(endpoint=OTHER)),
    "setting.overridden": in_editor(CONNECTED, in_workspace(OLD)),
    "setting.hides": in_editor(CONNECTED, in_workspace(OTHER)),
    "setting.invalid": in_editor(settings(endpoint="ftp://x")),
    "setting.unreadable": in_editor(SettingsFile(USER, "user", problem="line 2: expected a comma")),
    "setting.secret": remote("http://ada:hunter2@gpu-box:8000"),
    "old-settings.ok": HEALTHY,
    "old-settings.none": EMPTY,
    "old-settings.found": setting("huggingface.localEndpoint", HERE),
    "chat.ok": HEALTHY,
    "chat.none": EMPTY,
    "chat.sign-in": in_editor(settings(endpoint=HERE)),
    "chat.sign-in-here": in_editor(
        CONNECTED, SettingsFile(WORKSPACE, "workspace", {states.ANONYMOUS: False})
    ),
    "chat.account": replace(
        HEALTHY, editors=(replace(look(settings(endpoint=HERE)), signed_in=True),)
    ),
    "chat.organisations": in_editor(
        CONNECTED, policy({"chat.approvedAccountOrganizations": ["secret-corp"]})
    ),
    "chat.policy": in_editor(CONNECTED, policy({"chat.agent.enabled": False})),
    "chat.local-hidden": setting("chat.editor.localAgent.enabled", False),
    "chat.harness-remote": replace(HEALTHY, editors=(look(HARNESS_FIRST, name="code-server"),)),
    "chat.harness-closed": in_editor(HARNESS_FIRST),
    "chat.tool-groups": setting("github.copilot.chat.virtualTools.threshold", 20),
    "chat.off": setting("chat.disableAIFeatures", True),
    "chat.agent-off": setting("chat.agent.enabled", False),
    "chat.utility": in_editor(settings(endpoint=HERE)),
    "chat.context-cut": answering(models=(ListedModel("qwen2.5-coder-7b", 8192),)),
    "chat.context-of-model": short_model(8192),
    "chat.context-refused": remote(models=(ListedModel("qwen2.5-coder-7b", 8192),)),
    "looking.ok": HEALTHY,
    "looking.missed": replace(HEALTHY, unseen=("the port",)),
    "looking.unread": host(problems=("Could not read main memory: OSError.",)),
    "chat.history": replace(
        setting("github.copilot.chat.summarizeAgentConversationHistory.enabled", False),
        endpoints={HERE: replace(states.ANSWERS, models=(ListedModel("m", 8192),))},
    ),
}


def ids(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.kind.id for finding in findings}


def test_every_finding_has_a_state_here() -> None:
    assert set(STATES) == set(kinds())


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_the_state_makes_the_finding(kind: str) -> None:
    findings = diagnose(STATES[kind])
    assert kind in ids(findings)
    found = next(finding for finding in findings if finding.kind.id == kind)
    for text in (found.what, found.why, found.fix):
        assert "{" not in text
        assert "None" not in text
    if found.state in ("warning", "broken"):
        assert found.why
        assert found.fix


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_what_it_asks_users_to_run_exists(kind: str) -> None:
    texts = (kinds()[kind].what, kinds()[kind].why, kinds()[kind].fix)
    sentences = [part for text in texts for part in re.split(r"[.;,)] ?|$", text)]
    assert [wrong for part in sentences for wrong in check_docs.wrong_in_code(part)] == []


@pytest.mark.parametrize("kind", [k.id for k in kinds().values() if k.state == "broken"])
def test_what_is_broken_is_not_found_where_all_is_well(kind: str) -> None:
    assert kind not in ids(diagnose(HEALTHY))
    assert not is_whole(diagnose(STATES[kind]))


@pytest.mark.parametrize(
    "readings", [HEALTHY, WITH_GPU, remote(certificate_days=80)], ids=["cpu", "gpu", "remote"]
)
def test_a_healthy_chain_is_whole_and_raises_no_warning(readings: Readings) -> None:
    findings = diagnose(readings)
    assert is_whole(findings)
    assert [f.what for f in findings if f.state == "warning"] == []


@pytest.mark.parametrize("kind", sorted(STATES))
def test_every_state_has_a_finding_of_every_link_in_order(kind: str) -> None:
    reported = [finding.kind.link for finding in diagnose(STATES[kind])]
    order = [link.id for link in links()]
    assert set(reported) == set(order)
    assert reported == sorted(reported, key=order.index)


def test_every_link_has_its_judge() -> None:
    assert [link.id for link in links()] == list(CHECKS)
    assert {kind.link for kind in kinds().values()} == set(CHECKS)


def test_a_server_without_editor_and_gpu_is_whole() -> None:
    findings = diagnose(replace(HEALTHY, editors=(), connected=()))
    assert is_whole(findings)
    silent = {f.kind.link for f in findings if f.state == "not needed"}
    assert {"driver", "cuda", "containers", "toolkit", "editor", "extension", "chat"} <= silent


def test_the_memory_of_our_own_engine_is_not_held_by_others() -> None:
    ours = replace(WITH_GPU.host, gpus=(replace(RTX, processes=(gpu_process(20, pid=7),)),))
    readings = replace(WITH_GPU, host=ours, engine_pids=frozenset({7}))
    assert "memory.gpu-held" not in ids(diagnose(readings))


def test_localhost_and_its_number_are_one_server() -> None:
    named = "http://localhost:8000"
    readings = replace(
        in_editor(settings(endpoint=named)),
        endpoints={HERE: states.ANSWERS, named: replace(states.ANSWERS, url=named)},
    )
    assert "setting.ok" in ids(diagnose(readings))


def test_an_editor_that_has_nothing_of_stoker_is_left_alone_beside_one_that_has() -> None:
    idle = look(name="Cursor", extension=None)
    readings = replace(HEALTHY, editors=(look(CONNECTED), idle))
    assert "extension.missing" not in ids(diagnose(readings))


def test_a_workspaces_setting_concerns_no_editor_that_has_nothing_of_stoker() -> None:
    here = in_workspace(HERE)
    readings = in_editor(CONNECTED, here)
    idle = look(here, name="Cursor", extension=None)
    found = ids(diagnose(replace(readings, editors=(*readings.editors, idle))))
    assert "extension.missing" not in found


def test_a_longer_context_is_advised_only_where_the_model_has_it() -> None:
    assert "chat.context-cut" in ids(diagnose(short_model(65536)))
    advice = [f.fix for f in diagnose(short_model(8192)) if f.kind.id.startswith("chat.context")]
    assert advice
    assert not any("--context" in fix for fix in advice)


def test_no_editor_is_named_where_there_is_none() -> None:
    asked = replace(EMPTY, asked=OTHER, endpoints={OTHER: replace(states.ANSWERS, url=OTHER)})
    engine = next(f for f in diagnose(asked) if f.kind.link == "engine")
    assert "VS Code" not in engine.what


def test_what_is_asked_about_comes_before_what_runs_here() -> None:
    there = EndpointReading(OTHER, failure="refused")
    readings = replace(HEALTHY, asked=OTHER, endpoints={HERE: states.ANSWERS, OTHER: there})
    assert "endpoint.refused" in ids(diagnose(readings))


def test_an_editor_that_uses_another_server_than_the_one_asked_about_is_named() -> None:
    asked = replace(HEALTHY.endpoints[HERE], url=OTHER)
    readings = replace(HEALTHY, asked=OTHER, endpoints={HERE: states.ANSWERS, OTHER: asked})
    assert "setting.elsewhere" in ids(diagnose(readings))


def test_a_gateway_that_a_file_configured_is_judged_too() -> None:
    there = remote(stoker_version="0.0.9", ready=True, backends=2, backends_up=1)
    found = ids(diagnose(there))
    assert {"gateway.ok", "gateway.backends-down", "engine.elsewhere"} <= found
    assert "gateway.older" not in found


def test_a_model_with_control_characters_in_its_name_moves_no_terminal() -> None:
    readings = answering(models=(ListedModel("evil\x1b[2J\nname", 65536),))
    reported = next(f.what for f in diagnose(readings) if f.kind.id == "endpoint.ok")
    assert "\x1b" not in reported
    assert "\n" not in reported


def _anonymous(scope: Scope, value: object) -> SettingsFile:
    return SettingsFile(Path(f"/{scope}"), scope, {states.ANONYMOUS: value})


@pytest.mark.parametrize(
    ("files", "opens_sign_in"),
    [
        ([], True),
        ([_anonymous("user", True)], False),
        ([_anonymous("user", "true")], True),
        ([_anonymous("remote", True)], False),
        ([_anonymous("workspace", True)], False),
        ([_anonymous("user", True), _anonymous("workspace", False)], True),
        ([_anonymous("user", True), _anonymous("remote", False)], True),
        ([_anonymous("user", False), _anonymous("workspace", True)], False),
        # The default profile's settings, in a window of another profile.
        ([_anonymous("application", True)], True),
        ([_anonymous("application", True), _anonymous("user", True)], False),
    ],
)
def test_a_chat_that_opens_a_sign_in_is_never_called_whole(
    files: list[SettingsFile], opens_sign_in: bool
) -> None:
    endpoint = SettingsFile(USER, "user", {states.SETTING: HERE, states.UTILITY: "mainAgent"})
    findings = diagnose(in_editor(endpoint, *files))
    assert is_whole(findings) is not opens_sign_in
    assert ("chat.ok" in ids(findings)) is not opens_sign_in


def test_a_setting_for_all_profiles_is_taken_from_the_default_one() -> None:
    shared = {**CONNECTED.values, "workbench.settings.applyToAllProfiles": list(CONNECTED.values)}
    files = (SettingsFile(USER, "application", shared), SettingsFile(Path("/own"), "user", {}))
    assert is_whole(diagnose(in_editor(*files)))


@pytest.mark.parametrize(
    ("allowed", "is_forbidden"),
    [
        ("*", False),
        ({}, True),
        ({"*": True}, False),
        ({"*": False, "stoker": True}, False),
        ({"*": True, "Stoker.Stoker": False}, True),
        ({"microsoft": True}, True),
        ({"stoker.stoker": ["0.1.0"]}, False),
    ],
)
def test_an_extension_that_is_not_allowed_is_reported(allowed: object, is_forbidden: bool) -> None:
    found = ids(diagnose(setting("extensions.allowed", allowed)))
    assert ("extension.forbidden" in found) is is_forbidden


def test_the_copilot_harness_first_is_no_fault_where_it_is_open_to_own_models() -> None:
    opened = {
        "chat.defaultToCopilotHarness": True,
        "chat.agentHost.byokModels.enabled": True,
        "chat.agentHost.allowSignedOutWhenUsable": True,
    }
    found = ids(diagnose(in_editor(settings(HERE, "mainAgent", opened))))
    assert not any(kind.startswith("chat.harness") for kind in found)


@pytest.mark.parametrize("threshold", [0, 64, 128])
def test_a_threshold_that_leaves_the_tools_alone_is_no_fault(threshold: int) -> None:
    readings = setting("github.copilot.chat.virtualTools.threshold", threshold)
    assert "chat.tool-groups" not in ids(diagnose(readings))
