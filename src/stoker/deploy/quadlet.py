"""``quadlet``: a site on one machine in Podman's containers, as units that systemd starts.

Keys are those of Podman 4.6 and later; what Quadlet has no key for goes through ``PodmanArgs``.
"""

from __future__ import annotations

from collections.abc import Sequence

from stoker.deploy import stoker_image
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
from stoker.deploy.systemd_values import exec_lines, exec_word, literal, setting
from stoker.deploy.upgrade_script import ROLLING, UpgradeCommands, rolling_file, upgrade_script
from stoker.errors import UsageError

_ROOT = "/etc/stoker"
_SECRETS = f"{_ROOT}/secrets"
_GATEWAY_PORT = _ROUTER_PORT = 8000
_ROUTER_METRICS = 29000
_FRONT_PORT = 8080
#: The alias of all gateways, which has an address for each.
_ALL_GATEWAYS = "gateways"


def render(site: Site) -> tuple[SiteFile, ...]:
    """The files of the site. Raises ``UsageError`` where the machine has too few GPUs."""
    site.check_one_machine()
    replicas = [f"http://{name}:{site.engine.port}" for name in _names(site, "replica")]
    routers = [f"http://{name}:{_ROUTER_PORT}" for name in _names(site, "router")]
    gateways = [f"{name}:{_GATEWAY_PORT}" for name in _names(site, "gateway")]
    return (
        *_containers(site, replicas),
        *_networks(site),
        *_volumes(site),
        gateway_file(site, "gateway/gateway.toml", routers, bind="0.0.0.0", port=_GATEWAY_PORT),  # noqa: S104
        front_file(
            site,
            "front/stoker.conf.template",
            listen=str(_FRONT_PORT),
            gateways=(f"{_ALL_GATEWAYS}:{_GATEWAY_PORT}",),
            dashboard=gateways[0],
            # nginx's image writes the container's own name servers here when it starts.
            resolver="${NGINX_LOCAL_RESOLVERS}",
            certificate="/run/secrets/tls.crt",
            key="/run/secrets/tls.key",
        ),
        *stoker_image.image_files(site),
        *engine_files(site),
        *_monitoring_files(site, gateways),
        kept_private(),
        secrets_script(
            site,
            postgres_host=f"{site.request.name}-postgres",
            redis_host=f"{site.request.name}-redis",
        ),
        _install_script(site),
        rolling_file(),
        upgrade_script(site, replicas, routers, _upgrade_commands(site)),
        readme(
            site,
            EXPORTER.name,
            _next_steps(site),
            stoker=_stoker_command(site),
        ),
    )


def _names(site: Site, kind: str) -> list[str]:
    count = site.request.replicas if kind == "replica" else site.request.gateways
    return [f"{site.request.name}-{kind}-{number + 1}" for number in range(count)]


def _stoker_command(site: Site) -> str:
    return f"sudo podman exec {site.request.name}-gateway-1 stoker"


def _next_steps(site: Site) -> tuple[str, ...]:
    return (
        "./make-secrets.sh",
        "sudo ./install.sh",
        f"sudo systemctl start {site.request.name}-front.service",
        f"{_stoker_command(site)} keys create YOUR-NAME",
        f"stoker test {site.request.endpoint} --key-env NAME",
    )


def _upgrade_commands(site: Site) -> UpgradeCommands:
    def again(kind: str, path: str, port: int) -> str:
        url = f"http://127.0.0.1:{port}{path}"
        asks = f"python -c \"import urllib.request as u; u.urlopen('{url}', timeout=5)\""
        return (
            f"systemctl restart {site.request.name}-{kind}-$1.service\n"
            f"until podman exec {site.request.name}-{kind}-$1 {asks} 2>/dev/null; do sleep 1; done"
        )

    return UpgradeCommands(
        prepare=("./install.sh",),
        rolling=f"podman exec {site.request.name}-router-1 python /{ROLLING}",
        replica=f"systemctl restart {site.request.name}-replica-$1.service",
        router=again("router", "/readiness", _ROUTER_PORT),
        gateway=again("gateway", "/ready", _GATEWAY_PORT),
    )


def _monitoring_files(site: Site, gateways: Sequence[str]) -> tuple[SiteFile, ...]:
    if not site.request.monitoring:
        return ()
    return prometheus_files(
        gateways,
        [f"{name}:{_ROUTER_METRICS}" for name in _names(site, "router")],
        key_file="/run/secrets/prometheus.key",
        rules="stoker_rules.yaml",
    )


def _install_script(site: Site) -> SiteFile:
    folders = ["gateway", "front", "engine", *(["prometheus"] if site.request.monitoring else [])]
    return SiteFile.of(
        "install.sh",
        [
            "#!/bin/sh",
            "# Builds the image and puts the files in their places. It starts nothing, and may run",
            "# again.",
            "set -eu",
            'cd "$(dirname "$0")"',
            '[ "$(id -u)" -eq 0 ] || { echo "Run it as root." >&2; exit 2; }',
            '[ -s secrets/gateway.env ] || { echo "Run ./make-secrets.sh first." >&2; exit 2; }',
            f"podman build -t {_stoker_image(site)} -f image/Containerfile image",
            f"install -d -m 755 {_ROOT}",
            f"for folder in {' '.join(folders)}; do",
            f'    install -d -m 755 "{_ROOT}/$folder"',
            f'    install -m 644 "$folder"/* "{_ROOT}/$folder/"',
            "done",
            f"install -m 644 {ROLLING} {_ROOT}/",
            Line(
                f"install -d -m 700 {_SECRETS}",
                "programs in containers read the files under other accounts: the folder is "
                "closed, the files are not",
            ),
            f"install -m 644 secrets/* {_SECRETS}/",
            Line(
                "install -d -m 755 /etc/containers/systemd",
                "Podman's generator makes systemd's units of what lies here",
            ),
            "install -m 644 quadlet/* /etc/containers/systemd/",
            "systemctl daemon-reload",
        ],
        executable=True,
    )


def _stoker_image(site: Site) -> str:
    return f"localhost/{stoker_image.image_name(site)}"


# --- containers ----------------------------------------------------------------------------------


def _containers(site: Site, replicas: Sequence[str]) -> list[SiteFile]:
    found = {}
    for number, name in enumerate(_names(site, "replica")):
        found[name] = _replica(site, name, number)
    for name in _names(site, "router"):
        found[name] = _router(site, name, replicas)
    for name in _names(site, "gateway"):
        found[name] = _gateway(site, name)
    if site.request.shared_stores:
        found[f"{site.request.name}-postgres"] = _postgres(site)
        found[f"{site.request.name}-redis"] = _redis(site)
    found[f"{site.request.name}-front"] = _front(site)
    if site.request.monitoring:
        found[f"{site.request.name}-prometheus"] = _prometheus(site)
    return [SiteFile.of(f"quadlet/{name}.container", lines) for name, lines in found.items()]


def _head(name: str, description: str, wants: Sequence[str] = ()) -> list[Line | str]:
    units = " ".join(f"{unit}.service" for unit in wants)
    return [
        "[Unit]",
        f"Description={literal(description)}",
        *([Line(f"Wants={units}", "starting this starts them")] if units else []),
        "",
        "[Container]",
        f"ContainerName={name}",
        Line("NoNewPrivileges=true", "nothing inside can gain privileges"),
        Line("LogDriver=journald", "the journal has a limit of its own: logs can't fill the disk"),
    ]


def _closed() -> list[Line | str]:
    return [
        Line("ReadOnly=true", "nothing inside is written but its volumes and /tmp"),
        Line("DropCapability=all", "it needs none of root's powers"),
    ]


def _tail(stop_s: int, start_s: int = 900) -> list[Line | str]:
    return [
        Line(f"PodmanArgs=--stop-timeout={stop_s}", "what it has begun has this long to end"),
        "",
        "[Service]",
        Line("Restart=always", "it comes back after a crash"),
        "RestartSec=5",
        Line(f"TimeoutStartSec={start_s}", "an image may have to be pulled"),
        f"TimeoutStopSec={stop_s + 10}",
        "",
        "[Install]",
        Line("WantedBy=multi-user.target", "it starts with the machine"),
    ]


def _replica(site: Site, name: str, number: int) -> list[Line | str]:
    engine = site.engine
    networks = ["engines", *(["downloads"] if engine.hub_token_variable else [])]
    return [
        *_head(name, f"Stoker: a replica of {site.plan.model.served_name}"),
        Line(
            "DropCapability=all",
            "of root's powers it keeps one: to read its files, whichever account owns them",
        ),
        "AddCapability=CAP_DAC_OVERRIDE",
        Line(f"Image={_qualified(engine.image)}", _pinned(engine.image)),
        *exec_lines(_arguments(site), name="Exec"),
        Line(f"EnvironmentFile={_SECRETS}/engine.env", "the key that it asks for"),
        *(
            [Line(f"EnvironmentFile={_SECRETS}/hub.env", "the model hub's token")]
            if engine.hub_token_variable
            else []
        ),
        *[
            Line(setting("Environment", f"{one.name}={one.value}"), one.reason)
            for one in routed_env(engine)
        ],
        *_replica_volumes(site),
        *[
            Line(
                f"AddDevice=nvidia.com/gpu={gpu}",
                "the GPUs of this replica, by the NVIDIA Container Toolkit: no two replicas share "
                "one"
                if gpu == site.gpus_of(number)[0]
                else "",
            )
            for gpu in site.gpus_of(number)
        ],
        Line(
            f"ShmSize={engine.shm_bytes >> 20}m",
            "the engine's processes pass tensors through /dev/shm, of which Podman gives 64 MB",
        ),
        *_health("python3", engine.port, engine.health_path, engine.first_start_s),
        *_in(site, networks),
        *_tail(engine.stop_s, engine.first_start_s),
    ]


def _arguments(site: Site) -> list[Line]:
    words = list(site.engine.command)
    lines = []
    for argument in site.engine.arguments:
        taken = [words.pop(0)]
        while words and not words[0].startswith("--"):
            taken.append(words.pop(0))
        lines.append(Line(" ".join(exec_word(word) for word in taken), argument.reason))
    return lines


def _replica_volumes(site: Site) -> list[Line | str]:
    engine = site.engine
    lines: list[Line | str] = [
        Line(f"Volume={site.request.name}-{folder.name}.volume:{folder.path}", folder.reason)
        for folder in engine.folders
    ]
    for path, _text in engine.files:
        lines.append(
            Line(
                f"Volume={_ROOT}/{ENGINE_FOLDER}/{path.rpartition('/')[2]}:{path}:ro",
                "the engine's own door: it asks for the key",
            )
        )
    if engine.model_folder is not None:
        folder, inside = engine.model_folder
        if "," in folder:
            raise UsageError(
                f"The model's folder {folder} can't be mounted by Podman.",
                "Its name has a comma, which ends a part of a mount.",
                "Rename the folder, and plan again.",
            )
        mount = setting("Mount", f"type=bind,source={folder},target={inside},ro=true")
        lines.append(Line(mount, "the model's folder on this machine, to read"))
    return lines


def _router(site: Site, name: str, replicas: Sequence[str]) -> list[Line | str]:
    command = router_command(site.engine, replicas, "0.0.0.0", _ROUTER_PORT, _ROUTER_METRICS)  # noqa: S104
    return [
        *_head(
            name,
            "Stoker: a router in front of the replicas",
            _names(site, "replica"),
        ),
        *_closed(),
        f"Image={_stoker_image(site)}",
        *exec_lines(command, name="Exec"),
        Line(
            f"EnvironmentFile={_SECRETS}/engine.env",
            "rolling.py asks the replicas with it how much they do",
        ),
        f"Volume={_ROOT}/{ROLLING}:/{ROLLING}:ro",
        *_health("python", _ROUTER_PORT, "/liveness", site.engine.first_start_s),
        *_in(site, ["engines", "routers"]),
        *_tail(DRAIN_S),
    ]


def _gateway(site: Site, name: str) -> list[Line | str]:
    stores = (
        [f"{site.request.name}-postgres", f"{site.request.name}-redis"]
        if site.request.shared_stores
        else []
    )
    return [
        *_head(name, "Stoker: a gateway", [*_names(site, "router"), *stores]),
        *_closed(),
        f"Image={_stoker_image(site)}",
        "Exec=stoker gateway /etc/stoker/gateway.toml",
        Line(f"EnvironmentFile={_SECRETS}/gateway.env", "keys and passwords"),
        f"Volume={_ROOT}/gateway:/etc/stoker:ro",
        Line(
            f"Volume={site.request.name}-state.volume:{stoker_image.STATE}",
            "keys and the audit log, which the gateways share",
        ),
        *_health("python", _GATEWAY_PORT, "/health", 60),
        *_in(site, ["routers", "gateways", *(["stores"] if stores else [])]),
        Line(
            f"PodmanArgs=--network-alias={_ALL_GATEWAYS}",
            "the front finds all gateways under one name",
        ),
        *_tail(DRAIN_S + 10),
    ]


def _postgres(site: Site) -> list[Line | str]:
    return [
        *_head(f"{site.request.name}-postgres", "Stoker: who used what"),
        Line(f"Image={site.request.images.postgres}", _pinned(site.request.images.postgres)),
        "Environment=POSTGRES_USER=stoker POSTGRES_DB=stoker",
        Line(
            "Environment=POSTGRES_PASSWORD_FILE=/run/secrets/postgres.password",
            "not in this file",
        ),
        f"Volume={_SECRETS}/postgres.password:/run/secrets/postgres.password:ro",
        f"Volume={site.request.name}-postgres.volume:/var/lib/postgresql/data",
        "HealthCmd=pg_isready -U stoker",
        *_in(site, ["stores"]),
        *_tail(60),
    ]


def _redis(site: Site) -> list[Line | str]:
    return [
        *_head(f"{site.request.name}-redis", "Stoker: the counts of limits"),
        *_closed(),
        Line(f"Image={site.request.images.redis}", _pinned(site.request.images.redis)),
        Line("User=999:999", "the image's own account, from the beginning"),
        Line(
            "Exec=redis-server /run/secrets/redis.conf --appendonly yes --maxmemory-policy "
            "noeviction",
            "quotas of a day or a month outlast a restart, and a count is never dropped",
        ),
        f"Volume={_SECRETS}/redis.conf:/run/secrets/redis.conf:ro",
        f"Volume={site.request.name}-redis.volume:/data",
        "HealthCmd=redis-cli ping",
        *_in(site, ["stores"]),
        *_tail(30),
    ]


def _front(site: Site) -> list[Line | str]:
    tls = [f"Volume={_SECRETS}/tls.{one}:/run/secrets/tls.{one}:ro" for one in ("crt", "key")]
    after = [
        *_names(site, "gateway"),
        *([f"{site.request.name}-prometheus"] if site.request.monitoring else []),
    ]
    return [
        *_head(
            f"{site.request.name}-front", "Stoker: the only part that other machines reach", after
        ),
        *_closed(),
        Line(f"Image={site.request.images.nginx}", _pinned(site.request.images.nginx)),
        Line(
            f"PublishPort={site.request.bind_host}:{site.request.port}:{_FRONT_PORT}",
            "127.0.0.1 is this machine only; 0.0.0.0 opens it to the network",
        ),
        Line(
            "Environment=NGINX_ENTRYPOINT_LOCAL_RESOLVERS=1",
            "its image fills the name servers of this container into the template",
        ),
        f"Volume={_ROOT}/front:/etc/nginx/templates:ro",
        Line("Tmpfs=/etc/nginx/conf.d:mode=1777", "where the filled template is written"),
        *(tls if site.request.tls_host else []),
        *_in(site, ["edge", "gateways"]),
        *_tail(30),
    ]


def _prometheus(site: Site) -> list[Line | str]:
    return [
        *_head(f"{site.request.name}-prometheus", "Stoker: metrics and alerts"),
        *_closed(),
        Line(f"Image={site.request.images.prometheus}", _pinned(site.request.images.prometheus)),
        f"Volume={_ROOT}/prometheus:/etc/prometheus:ro",
        f"Volume={_SECRETS}/prometheus.key:/run/secrets/prometheus.key:ro",
        f"Volume={site.request.name}-prometheus.volume:/prometheus",
        Line("PublishPort=127.0.0.1:9090:9090", "it has no login: this machine only"),
        *_in(site, ["edge", "gateways", "routers"]),
        *_tail(30),
    ]


def _health(python: str, port: int, path: str, start_s: int) -> list[Line | str]:
    url = f"http://127.0.0.1:{port}{path}"
    asks = f"{python} -c \"import urllib.request as u; u.urlopen('{url}', timeout=5)\""
    return [
        # Quadlet 5.4 drops a quotation mark at a value's end: the command does not end with one.
        f"HealthCmd={asks} || exit 1",
        "HealthInterval=5s",
        "HealthTimeout=10s",
        "HealthRetries=3",
        Line(
            f"HealthStartPeriod={start_s}s",
            "a first start downloads and compiles: it is not called unhealthy for that"
            if start_s > 600
            else "",
        ),
    ]


def _in(site: Site, networks: Sequence[str]) -> list[Line | str]:
    return [f"Network={site.request.name}-{network}.network" for network in networks]


# --- networks and volumes ------------------------------------------------------------------------


def _networks(site: Site) -> list[SiteFile]:
    inside = ["gateways", "routers", "engines", *(["stores"] if site.request.shared_stores else [])]
    why = "internal: no way out, and no way in from the machine's network"
    found = {name: [Line("Internal=true", why)] for name in inside}
    found["edge"] = []
    if site.engine.hub_token_variable:
        found["downloads"] = [
            Line("Options=isolate=true", "the way to the model hub, and to no other network")
        ]
    return [
        SiteFile.of(
            f"quadlet/{site.request.name}-{name}.network",
            ["[Network]", f"NetworkName={site.request.name}-{name}", *lines],
        )
        for name, lines in found.items()
    ]


def _volumes(site: Site) -> list[SiteFile]:
    names = [folder.name for folder in site.engine.folders]
    names += ["state", *(["postgres", "redis"] if site.request.shared_stores else [])]
    names += ["prometheus"] if site.request.monitoring else []
    return [
        SiteFile.of(
            f"quadlet/{site.request.name}-{name}.volume",
            ["[Volume]", f"VolumeName={site.request.name}-{name}"],
        )
        for name in names
    ]


def _qualified(image: str) -> str:
    """With its registry: Podman has no default one."""
    first, slash, _ = image.partition("/")
    return image if slash and ("." in first or ":" in first) else f"docker.io/{image}"


def _pinned(image: str) -> str:
    if "@sha256:" in image:
        return "by its digest: the same wherever it is pulled"
    return "a fixed version; add @sha256:DIGEST to make it the same for ever"


EXPORTER = Exporter(
    name="quadlet",
    help="Write systemd units that run Podman containers on one machine.",
    render=render,
    next_steps=_next_steps,
)
