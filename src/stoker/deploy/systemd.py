"""``systemd``: a site on one machine without containers, as units.

Directives are of systemd 247 (Debian 11, RHEL 9 has 252) and later.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stoker.deploy.engine_files import ENGINE_FOLDER, engine_files
from stoker.deploy.exporter import Exporter
from stoker.deploy.front_file import front_file
from stoker.deploy.gateway_file import DRAIN_S, gateway_file
from stoker.deploy.prometheus_files import prometheus_files
from stoker.deploy.router_command import routed_env, router_command
from stoker.deploy.secrets_script import kept_private, secrets_script
from stoker.deploy.site import Site
from stoker.deploy.site_file import Line, SiteFile
from stoker.deploy.site_readme import readme
from stoker.deploy.systemd_install import (
    CONFIGURATION,
    PROMETHEUS_KEY,
    SECRETS,
    STATE,
    engine_python,
    gateway_bin,
    install_script,
    stoker_command,
)
from stoker.deploy.systemd_values import exec_lines, exec_word, literal, setting
from stoker.deploy.upgrade_script import (
    ROLLING,
    UpgradeCommands,
    rolling_file,
    upgrade_script,
)
from stoker.errors import UsageError

#: The first one of each kind; all listen on loopback.
_REPLICA_PORT, _ROUTER_PORT, _METRICS_PORT, _GATEWAY_PORT = 8101, 8201, 8301, 8401
_LOOPBACK = "127.0.0.1"
#: A kind that fails so often within ten minutes is not started again: its log has the reason.
_MOST_STARTS = 5
#: What ``PrivateTmp`` hides.
_TEMPORARY = re.compile(r"(/var)?/tmp(/|$)")


def render(site: Site) -> tuple[SiteFile, ...]:
    """The files of the site.

    Raises ``UsageError`` where the machine has too few GPUs, or its units can't see the model.
    """
    site.check_one_machine()
    _check_model_folder(site)
    gateways = _addresses(_GATEWAY_PORT, site.request.gateways)
    routers = [f"http://{address}" for address in _addresses(_ROUTER_PORT, site.request.gateways)]
    replicas = [f"http://{address}" for address in _addresses(_REPLICA_PORT, site.request.replicas)]
    return (
        SiteFile.of("units/stoker-replica@.service", _replica_unit(site)),
        SiteFile.of("units/stoker-router@.service", _router_unit(site, replicas)),
        SiteFile.of("units/stoker-gateway@.service", _gateway_unit(site)),
        SiteFile.of("units/stoker.target", _target(site)),
        SiteFile("sysusers.conf", f'u stoker - "Stoker" {STATE}\n'),
        *_numbers(site),
        *(
            gateway_file(
                site,
                f"etc/gateway-{number + 1}.toml",
                routers,
                bind=_LOOPBACK,
                port=_GATEWAY_PORT + number,
            )
            for number in range(site.request.gateways)
        ),
        front_file(
            site,
            "front/stoker.conf",
            listen=f"{site.request.bind_host}:{site.request.port}",
            gateways=tuple(gateways),
            dashboard=gateways[0],
            certificate=f"{SECRETS}/tls.crt",
            key=f"{SECRETS}/tls.key",
        ),
        *engine_files(site),
        *_monitoring(site, gateways),
        kept_private(),
        secrets_script(site, postgres_host=_LOOPBACK, redis_host=_LOOPBACK),
        install_script(site),
        rolling_file(),
        upgrade_script(site, replicas, routers, _upgrade_commands(site)),
        readme(
            site,
            EXPORTER.name,
            _next_steps(site),
            stoker=stoker_command(site),
        ),
    )


def _check_model_folder(site: Site) -> None:
    folder = site.engine.model_folder
    if folder is None or not _TEMPORARY.match(folder[0]):
        return
    raise UsageError(
        f"Units can't serve the model in {folder[0]}.",
        "systemd gives each of them its own empty folder for temporary files, and the system "
        "deletes old ones.",
        "Move the model, for example to /srv/models, and plan again.",
    )


def _addresses(first_port: int, count: int) -> list[str]:
    return [f"{_LOOPBACK}:{first_port + number}" for number in range(count)]


def _next_steps(site: Site) -> tuple[str, ...]:
    return (
        "./make-secrets.sh",
        "sudo ./install.sh",
        # Without --no-block it returns after the download, and after hours where a replica fails.
        "sudo systemctl start --no-block stoker.target",
        "sudo journalctl -fu 'stoker-*'  # a model answers once stoker-router@1 is started",
        f"{stoker_command(site)} keys create YOUR-NAME",
        f"stoker test {site.request.endpoint} --key-env NAME",
    )


def _upgrade_commands(site: Site) -> UpgradeCommands:
    python = f"{gateway_bin(site)}/python"
    return UpgradeCommands(
        prepare=("./install.sh", 'export VLLM_API_KEY="$(cat secrets/engine.key)"'),
        rolling=f"{python} {ROLLING}",
        # Each returns when the unit answers: ExecStartPost waits for that.
        replica="systemctl restart stoker-replica@$1",
        router="systemctl restart stoker-router@$1",
        gateway="systemctl restart stoker-gateway@$1",
    )


def _monitoring(site: Site, gateways: Sequence[str]) -> tuple[SiteFile, ...]:
    if not site.request.monitoring:
        return ()
    return prometheus_files(
        gateways,
        _addresses(_METRICS_PORT, site.request.gateways),
        key_file=PROMETHEUS_KEY,
        rules="stoker_rules.yaml",
    )


def _numbers(site: Site) -> list[SiteFile]:
    """What differs between two units of a kind: ports, and the GPUs of a replica."""
    found = []
    for number in range(site.request.replicas):
        gpus = ",".join(map(str, site.gpus_of(number)))
        lines: list[Line | str] = [f"PORT={_REPLICA_PORT + number}"]
        if gpus:
            why = "the GPUs of this replica, as nvidia-smi numbers them: no two replicas share one"
            lines += [Line(f"CUDA_VISIBLE_DEVICES={gpus}", why), "CUDA_DEVICE_ORDER=PCI_BUS_ID"]
        found.append(SiteFile.of(f"etc/replica-{number + 1}.env", lines))
    for number in range(site.request.gateways):
        ports = [f"PORT={_ROUTER_PORT + number}", f"METRICS_PORT={_METRICS_PORT + number}"]
        found.append(SiteFile.of(f"etc/router-{number + 1}.env", ports))
        port = [f"PORT={_GATEWAY_PORT + number}"]
        found.append(SiteFile.of(f"etc/gateway-{number + 1}.env", port))
    return found


# --- units ---------------------------------------------------------------------------------------


def _replica_unit(site: Site) -> list[Line | str]:
    engine = site.engine
    folder = engine.model_folder
    places = {
        path.rpartition("/")[0]: f"{CONFIGURATION}/{ENGINE_FOLDER}" for path, _ in engine.files
    }
    places |= {folder[1]: folder[0]} if folder else {}
    words = [places.get(word, word) for word in engine.command]
    return [
        *_unit_section(f"Stoker: replica %i of {literal(site.plan.model.served_name)}"),
        "[Service]",
        "Type=exec",
        *_account(),
        Line(f"EnvironmentFile={SECRETS}/engine.env", "the key that it asks for"),
        *(
            [Line(f"EnvironmentFile={SECRETS}/hub.env", "the model hub's token")]
            if engine.hub_token_variable
            else []
        ),
        Line(f"EnvironmentFile={CONFIGURATION}/replica-%i.env", "its port and its GPUs"),
        *[
            Line(
                setting("Environment", f"{one.name}={places.get(str(one.value), one.value)}"),
                one.reason,
            )
            for one in routed_env(engine)
        ],
        Line("CacheDirectory=stoker", "the weights, and what was compiled: kept over restarts"),
        Line("Environment=HOME=/var/cache/stoker", "where both are looked for"),
        *exec_lines(
            [Line(f"{engine_python(site)} {' '.join(engine.process)}")],
            _with_reasons(site, words),
            [Line(f"--host {_LOOPBACK}", "only this machine reaches it"), Line("--port ${PORT}")],
        ),
        *_ready(site, engine.first_start_s),
        *_stop(engine.stop_s),
        *_hardening(),
        *_replica_limits(site),
        *_install_section(),
    ]


def _with_reasons(site: Site, words: list[str]) -> list[Line]:
    """Each argument with its values, and the plan's reason for it."""
    rest = list(words)
    lines = []
    for argument in site.engine.arguments:
        taken = [rest.pop(0)]
        while rest and not rest[0].startswith("--"):
            taken.append(rest.pop(0))
        lines.append(Line(" ".join(exec_word(word) for word in taken), argument.reason))
    return lines


def _replica_limits(site: Site) -> list[Line | str]:
    lines: list[Line | str] = [
        Line(
            "PrivateDevices=true" if not site.plan.gpus else "PrivateDevices=false",
            "it needs no device" if not site.plan.gpus else "it needs the GPUs' devices",
        )
    ]
    if site.engine.model_folder:
        lines += [
            Line("ProtectHome=read-only", "the model's folder may lie below a home"),
            Line("IPAddressDeny=any", "the weights are here: nothing is fetched"),
            "IPAddressAllow=localhost",
        ]
    else:
        lines += [Line("ProtectHome=true", "it needs no person's files")]
    return lines


def _router_unit(site: Site, replicas: Sequence[str]) -> list[Line | str]:
    first, *flags = router_command(site.engine, replicas, _LOOPBACK, 0, 0)
    ports = {
        "--port 0": "--port ${PORT}",
        "--prometheus-port 0": "--prometheus-port ${METRICS_PORT}",
    }
    return [
        *_unit_section("Stoker: router %i in front of the replicas"),
        "[Service]",
        "Type=exec",
        *_account(),
        Line(f"EnvironmentFile={CONFIGURATION}/router-%i.env", "its ports"),
        *exec_lines(
            [Line(f"{gateway_bin(site)}/{first.text}")],
            [Line(ports.get(flag.text, flag.text), flag.why) for flag in flags],
        ),
        *_ready(site, site.engine.first_start_s),
        *_stop(DRAIN_S),
        *_hardening(),
        *_closed(),
        *_install_section(),
    ]


def _gateway_unit(site: Site) -> list[Line | str]:
    return [
        *_unit_section("Stoker: gateway %i", after="postgresql.service redis-server.service "),
        "[Service]",
        "Type=exec",
        *_account(),
        Line(f"EnvironmentFile={SECRETS}/gateway.env", "keys and passwords"),
        f"EnvironmentFile={CONFIGURATION}/gateway-%i.env",
        Line(f"Environment=STOKER_HOME={STATE}", "keys and the audit log, which gateways share"),
        "StateDirectory=stoker",
        "StateDirectoryMode=0700",
        f"ExecStart={gateway_bin(site)}/stoker gateway {CONFIGURATION}/gateway-%i.toml",
        *_ready(site, 60),
        Line("ExecReload=/bin/kill -HUP $MAINPID", "reads its file again; a change does too"),
        *_stop(DRAIN_S + 10),
        *_hardening(),
        *_closed(),
        *_install_section(),
    ]


def _target(site: Site) -> list[Line | str]:
    units = [f"stoker-replica@{one + 1}.service" for one in range(site.request.replicas)]
    for kind in ("router", "gateway"):
        units += [f"stoker-{kind}@{one + 1}.service" for one in range(site.request.gateways)]
    return [
        "[Unit]",
        f"Description=Stoker: {literal(site.plan.model.served_name)}",
        *[Line(f"Wants={unit}") for unit in units],
        "",
        "[Install]",
        Line("WantedBy=multi-user.target", "it starts with the machine"),
    ]


def _unit_section(description: str, after: str = "") -> list[Line | str]:
    return [
        "[Unit]",
        f"Description={description}",
        Line("PartOf=stoker.target", "stopping the target stops it"),
        Line(f"After={after}network-online.target", "it opens its port when there is a network"),
        "Wants=network-online.target",
        Line(
            "StartLimitIntervalSec=600",
            "what fails five times in ten minutes stays down: its log has the reason",
        ),
        f"StartLimitBurst={_MOST_STARTS}",
        "",
    ]


def _account() -> list[Line | str]:
    return [
        Line("User=stoker", "an account without a password and without rights"),
        "Group=stoker",
        Line("UMask=0077", "what it writes is its own"),
    ]


def _ready(site: Site, within_s: int) -> list[Line | str]:
    join = f"{gateway_bin(site)}/python {CONFIGURATION}/{ROLLING} join http://{_LOOPBACK}:${{PORT}}"
    return [
        Line(f"ExecStartPost={join}", "systemctl start returns when it can answer"),
        Line(
            f"TimeoutStartSec={within_s}",
            "a first start downloads and compiles" if within_s > 600 else "",
        ),
    ]


def _stop(within_s: int) -> list[Line | str]:
    return [
        Line("Restart=always", "it comes back after a crash"),
        "RestartSec=5",
        Line("KillMode=mixed", "its main process ends its answers; what is left is killed"),
        Line(f"TimeoutStopSec={within_s}", "answers that are running have this long"),
    ]


def _hardening() -> list[Line | str]:
    return [
        Line("NoNewPrivileges=true", "nothing inside can gain privileges"),
        "CapabilityBoundingSet=",
        Line("ProtectSystem=strict", "the system is read-only to it"),
        "PrivateTmp=true",
        "ProtectControlGroups=true",
        "ProtectKernelLogs=true",
        "ProtectKernelModules=true",
        "ProtectKernelTunables=true",
        "ProtectClock=true",
        "ProtectHostname=true",
        "LockPersonality=true",
        "RestrictSUIDSGID=true",
        "RestrictRealtime=true",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
    ]


def _closed() -> list[Line | str]:
    return [
        "ProtectHome=true",
        "PrivateDevices=true",
        Line("IPAddressDeny=any", "it talks to this machine only; take this out for sign-on"),
        "IPAddressAllow=localhost",
    ]


def _install_section() -> list[Line | str]:
    return ["", "[Install]", "WantedBy=stoker.target"]


EXPORTER = Exporter(
    name="systemd",
    help="Write systemd units for one machine, without containers.",
    render=render,
    next_steps=_next_steps,
)
