"""``compose``: a site on one machine, as a file for Docker Compose.

It holds what docker-compose 1.29 (Debian 12) and Compose 2 both read: ``gpus``, ``start_interval``
and ``name`` are left out for the first one's sake.
"""

from __future__ import annotations

import json
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
from stoker.deploy.site_file import Line, SiteFile, indented
from stoker.deploy.site_readme import readme
from stoker.deploy.upgrade_script import (
    ROLLING,
    UpgradeCommands,
    rolling_file,
    upgrade_script,
)

_GATEWAY_PORT = _ROUTER_PORT = 8000
_ROUTER_METRICS = 29000
_FRONT_PORT = 8080
#: The alias of all gateways in their network, which has an address for each.
_ALL_GATEWAYS = "gateways"
#: Docker's own name server, in every network that is made by a user.
_DOCKER_DNS = "127.0.0.11"
_ONE_HEALTHY = "import urllib.request as u; u.urlopen('http://127.0.0.1:{}', timeout=5)"
#: How Stoker's command is run beside a gateway.
_STOKER = "docker compose exec gateway-1 stoker"


def render(site: Site) -> tuple[SiteFile, ...]:
    """The files of the site. Raises ``UsageError`` where the machine has too few GPUs."""
    site.check_one_machine()
    routers = [f"http://{name}:{_ROUTER_PORT}" for name in router_names(site)]
    gateways = [f"{name}:{_GATEWAY_PORT}" for name in gateway_names(site)]
    return (
        SiteFile.of("compose.yaml", _compose(site)),
        gateway_file(site, "gateway/gateway.toml", routers, bind="0.0.0.0", port=_GATEWAY_PORT),  # noqa: S104
        front_file(
            site,
            "front/stoker.conf",
            listen=str(_FRONT_PORT),
            gateways=(f"{_ALL_GATEWAYS}:{_GATEWAY_PORT}",),
            dashboard=gateways[0],
            resolver=_DOCKER_DNS,
            certificate="/run/secrets/tls.crt",
            key="/run/secrets/tls.key",
        ),
        *stoker_image.image_files(site),
        *engine_files(site),
        *_monitoring(site, gateways),
        kept_private(),
        secrets_script(site, postgres_host="postgres", redis_host="redis"),
        rolling_file(),
        upgrade_script(
            site,
            [f"http://{name}:{site.engine.port}" for name in replica_names(site)],
            routers,
            _upgrade_commands(),
        ),
        readme(
            site,
            EXPORTER.name,
            _next_steps(site),
            stoker=_STOKER,
        ),
    )


def replica_names(site: Site) -> list[str]:
    """The services of the replicas, from 1."""
    return [f"replica-{number + 1}" for number in range(site.request.replicas)]


def router_names(site: Site) -> list[str]:
    """The services of the routers: as many as there are gateways, so that each may fail."""
    return [f"router-{number + 1}" for number in range(site.request.gateways)]


def gateway_names(site: Site) -> list[str]:
    """The services of the gateways."""
    return [f"gateway-{number + 1}" for number in range(site.request.gateways)]


def _upgrade_commands() -> UpgradeCommands:
    def again(service: str, path: str, port: int, options: str = "") -> str:
        asks = f'python -c "{_ONE_HEALTHY.format(f"{port}{path}")}"'
        return (
            f"$compose up -d --no-deps {options}{service}-$1\n"
            f"until $compose exec -T {service}-$1 {asks} 2>/dev/null; do sleep 1; done"
        )

    return UpgradeCommands(
        prepare=(
            'compose="docker compose"',
            "docker compose version >/dev/null 2>&1 || compose=docker-compose",
        ),
        rolling=f"$compose exec -T router-1 python /{ROLLING}",
        replica="$compose up -d --no-deps replica-$1",
        router=again("router", "/readiness", _ROUTER_PORT),
        gateway=again("gateway", "/ready", _GATEWAY_PORT, "--force-recreate "),
    )


def _next_steps(site: Site) -> tuple[str, ...]:
    return (
        "./make-secrets.sh",
        "docker compose up -d --build",
        f"{_STOKER} keys create YOUR-NAME",
        f"stoker test {site.request.endpoint} --key-env NAME",
    )


def _monitoring(site: Site, gateways: Sequence[str]) -> tuple[SiteFile, ...]:
    if not site.request.monitoring:
        return ()
    return prometheus_files(
        gateways,
        [f"{name}:{_ROUTER_METRICS}" for name in router_names(site)],
        key_file="/run/secrets/prometheus.key",
        rules="stoker_rules.yaml",
    )


# --- compose.yaml --------------------------------------------------------------------------------


def _compose(site: Site) -> list[Line | str]:
    services: list[Line | str] = []
    for number in range(site.request.replicas):
        services += _replica(site, number)
    for number in range(site.request.gateways):
        services += _router(site, number)
    for number in range(site.request.gateways):
        services += _gateway(site, number)
    if site.request.shared_stores:
        services += [*_postgres(site), *_redis(site)]
    services += _front(site)
    services += _prometheus(site) if site.request.monitoring else []
    return [
        *_shared_parts(),
        "services:",
        *indented(services, 2),
        *_networks(site),
        "",
        *_volumes(site),
    ]


def _shared_parts() -> list[Line | str]:
    return [
        "# Parts that several services share.",
        "x-service: &service",
        Line("  restart: unless-stopped", "comes back after a crash and after a reboot"),
        Line("  security_opt: [no-new-privileges:true]", "nothing inside can gain privileges"),
        Line("  logging:", "logs can't fill the disk: 60 MB each"),
        "    driver: json-file",
        '    options: {max-size: "20m", max-file: "3"}',
        "x-closed: &closed",
        "  <<: *service",
        Line("  read_only: true", "nothing inside is written but its volumes and /tmp"),
        Line("  cap_drop: [ALL]", "it needs none of root's powers"),
        "  tmpfs: [/tmp]",
        "",
    ]


def _service(name: str, template: str, why: str = "") -> list[Line | str]:
    return [Line(f"{name}:", why), f"  <<: *{template}"]


def _replica(site: Site, number: int) -> list[Line | str]:
    engine = site.engine
    name = replica_names(site)[number]
    first = number == 0
    why = "one copy of the model; vLLM writes in many places, so its system is not read-only"
    return [
        *_service(name, "service", why if first else ""),
        Line(f"  image: {engine.image}", _pinned(engine.image) if first else ""),
        "  command:",
        *_arguments(site, explained=first),
        Line(
            "  env_file: [secrets/engine.env]"
            if engine.hub_token_variable is None
            else "  env_file: [secrets/engine.env, secrets/hub.env]",
            "the key that it asks for, and the hub's token: never in this file" if first else "",
        ),
        "  environment:",
        *[
            Line(f"    {one.name}: {_quoted(str(one.value))}", one.reason if first else "")
            for one in routed_env(engine)
        ],
        *indented(_replica_volumes(site, explained=first), 2),
        *indented(_gpu_reservation(site, number), 2),
        Line(
            "  cap_drop: [ALL]",
            "of root's powers it keeps one: to read its files, whichever account owns them"
            if first
            else "",
        ),
        "  cap_add: [DAC_OVERRIDE]",
        Line(
            f'  shm_size: "{engine.shm_bytes >> 20}m"',
            "the engine's processes pass tensors through /dev/shm, of which Docker gives 64 MB"
            if first
            else "",
        ),
        *_health(
            site.engine.health_path,
            engine.port,
            start_s=engine.first_start_s,
            why="a first start downloads and compiles: it is not called unhealthy for that"
            if first
            else "",
            python="python3",
        ),
        Line(
            f"  stop_grace_period: {engine.stop_s}s",
            "answers that are running have this long when it is stopped" if first else "",
        ),
        Line(
            f"  networks: [{', '.join(_replica_networks(site))}]",
            "the routers reach it here; clients and gateways do not" if first else "",
        ),
        "",
    ]


def _arguments(site: Site, *, explained: bool) -> list[Line | str]:
    """The engine's command, one argument a line: with the plan's reason for each."""
    words = list(site.engine.command)
    lines: list[Line | str] = []
    for argument in site.engine.arguments:
        taken = [words.pop(0)]
        while words and not words[0].startswith("--"):
            taken.append(words.pop(0))
        why = argument.reason if explained else ""
        lines += [
            Line(f"    - {_quoted(word)}", why if place == 0 else "")
            for place, word in enumerate(taken)
        ]
    return lines


def _replica_volumes(site: Site, *, explained: bool) -> list[Line | str]:
    engine = site.engine
    lines: list[Line | str] = ["volumes:"]
    if engine.model_folder is not None:
        folder, inside = engine.model_folder
        why = "the model's folder on this machine, to read"
        source = f"source: {_quoted(folder)}, target: {inside}, read_only: true"
        lines.append(Line(f"  - {{type: bind, {source}}}", why if explained else ""))
    for volume in engine.folders:
        why = volume.reason if explained else ""
        lines.append(Line(f"  - {volume.name}:{volume.path}", why))
    for path, _text in engine.files:
        folder, _, name = path.rpartition("/")
        why = "the engine's own door: it asks for the key"
        mount = f"./{ENGINE_FOLDER}/{name}:{folder}/{name}:ro"
        lines.append(Line(f"  - {mount}", why if explained else ""))
    return lines


def _gpu_reservation(site: Site, number: int) -> list[Line | str]:
    if not site.plan.gpus:
        return []
    ids = ", ".join(f'"{gpu}"' for gpu in site.gpus_of(number))
    return [
        "deploy:",
        "  resources:",
        "    reservations:",
        "      devices:",
        "        - driver: nvidia",
        Line(
            f"          device_ids: [{ids}]",
            "the GPUs of this replica, as nvidia-smi numbers them: no two replicas share one",
        ),
        "          capabilities: [gpu]",
    ]


def _replica_networks(site: Site) -> list[str]:
    return ["engines"] if site.engine.hub_token_variable is None else ["engines", "downloads"]


def _router(site: Site, number: int) -> list[Line | str]:
    workers = [f"http://{name}:{site.engine.port}" for name in replica_names(site)]
    command = router_command(site.engine, workers, "0.0.0.0", _ROUTER_PORT, _ROUTER_METRICS)  # noqa: S104
    first = number == 0
    why = "sends each request to the replica that has read its beginning; there are two, so that "
    return [
        *_service(router_names(site)[number], "closed", f"{why}one may fail" if first else ""),
        *_stoker_image(site),
        "  command:",
        *[
            Line(f"    - {_quoted(word)}", line.why if first and place == 0 else "")
            for line in command
            for place, word in enumerate(line.text.split())
        ],
        Line(
            "  env_file: [secrets/engine.env]",
            "rolling.py asks the replicas with it how much they do" if first else "",
        ),
        f"  volumes: [./{ROLLING}:/{ROLLING}:ro]",
        *_health("/liveness", _ROUTER_PORT, start_s=site.engine.first_start_s),
        Line(
            f"  stop_grace_period: {DRAIN_S}s",
            "ordered to stop, it ends what it has begun" if first else "",
        ),
        "  networks: [engines, routers]",
        "",
    ]


def _gateway(site: Site, number: int) -> list[Line | str]:
    first = number == 0
    networks = ["routers", "gateways", *(["stores"] if site.request.shared_stores else [])]
    return [
        *_service(
            gateway_names(site)[number],
            "closed",
            "keys, limits, and requests that fit the context window" if first else "",
        ),
        *_stoker_image(site),
        "  command: [stoker, gateway, /etc/stoker/gateway.toml]",
        Line("  env_file: [secrets/gateway.env]", "keys and passwords" if first else ""),
        "  volumes:",
        Line(
            "    - ./gateway:/etc/stoker:ro",
            "the folder, not the file: a file that an editor replaces would not be seen"
            if first
            else "",
        ),
        Line(
            f"    - state:{stoker_image.STATE}",
            "keys and the audit log, which the gateways share" if first else "",
        ),
        *_health("/health", _GATEWAY_PORT, start_s=60),
        Line(
            f"  stop_grace_period: {DRAIN_S + 10}s",
            "as long as drain_s in gateway.toml: Docker kills it later than that" if first else "",
        ),
        "  networks:",
        *[
            line
            for network in networks
            for line in (
                [f"    {network}:", f"      aliases: [{_ALL_GATEWAYS}]"]
                if network == "gateways"
                else [f"    {network}:"]
            )
        ],
        "",
    ]


def _stoker_image(site: Site) -> list[Line | str]:
    return [
        f"  image: {stoker_image.image_name(site)}",
        "  build: {context: image, dockerfile: Containerfile}",
    ]


def _postgres(site: Site) -> list[Line | str]:
    return [
        *_service("postgres", "service", "who used what; the gateways write it together"),
        Line(f"  image: {site.request.images.postgres}", _pinned(site.request.images.postgres)),
        "  environment:",
        "    POSTGRES_USER: stoker",
        "    POSTGRES_DB: stoker",
        Line("    POSTGRES_PASSWORD_FILE: /run/secrets/postgres.password", "not in this file"),
        "  volumes:",
        "    - ./secrets/postgres.password:/run/secrets/postgres.password:ro",
        "    - postgres:/var/lib/postgresql/data",
        "  healthcheck:",
        "    test: [CMD, pg_isready, -U, stoker]",
        "    interval: 10s",
        "  stop_grace_period: 60s",
        Line("  networks: [stores]", "only the gateways reach it"),
        "",
    ]


def _redis(site: Site) -> list[Line | str]:
    return [
        *_service("redis", "closed", "the counts of limits, which the gateways share"),
        Line(f"  image: {site.request.images.redis}", _pinned(site.request.images.redis)),
        Line('  user: "999:999"', "the image's own account, from the beginning"),
        "  command:",
        "    - redis-server",
        Line("    - /run/secrets/redis.conf", "the password"),
        Line("    - --appendonly", "quotas of a day or a month outlast a restart"),
        '    - "yes"',
        Line("    - --maxmemory-policy", "a count is never dropped to make room"),
        "    - noeviction",
        "  volumes:",
        "    - ./secrets/redis.conf:/run/secrets/redis.conf:ro",
        "    - redis:/data",
        "  healthcheck:",
        "    test: [CMD, redis-cli, ping]",
        "    interval: 10s",
        "  networks: [stores]",
        "",
    ]


def _front(site: Site) -> list[Line | str]:
    tls = [f"    - ./secrets/tls.{part}:/run/secrets/tls.{part}:ro" for part in ("crt", "key")]
    return [
        *_service("front", "closed", "the only service that other machines reach"),
        Line(f"  image: {site.request.images.nginx}", _pinned(site.request.images.nginx)),
        "  ports:",
        Line(
            f"    - {_quoted(f'{site.request.bind_host}:{site.request.port}:{_FRONT_PORT}')}",
            "127.0.0.1 is this machine only; 0.0.0.0 opens it to the network",
        ),
        "  volumes:",
        "    - ./front:/etc/nginx/conf.d:ro",
        *(tls if site.request.tls_host else []),
        "  healthcheck:",
        Line(
            f'    test: [CMD, bash, -c, "exec 3<>/dev/tcp/127.0.0.1/{_FRONT_PORT}"]',
            "the image has no program that asks over HTTP",
        ),
        "    interval: 10s",
        "  networks: [edge, gateways]",
        "",
    ]


def _prometheus(site: Site) -> list[Line | str]:
    return [
        *_service("prometheus", "closed", "metrics, and the alerts in prometheus/"),
        Line(f"  image: {site.request.images.prometheus}", _pinned(site.request.images.prometheus)),
        "  volumes:",
        "    - ./prometheus:/etc/prometheus:ro",
        "    - ./secrets/prometheus.key:/run/secrets/prometheus.key:ro",
        "    - prometheus:/prometheus",
        "  ports:",
        Line('    - "127.0.0.1:9090:9090"', "it has no login: this machine only"),
        "  networks: [edge, gateways, routers]",
        "",
    ]


def _networks(site: Site) -> list[Line | str]:
    inside = ["gateways", "routers", "engines", *(["stores"] if site.request.shared_stores else [])]
    return [
        Line("networks:", "each service reaches only what it needs"),
        Line("  edge: {}", "leads to the ports that are published"),
        *[
            Line(
                f"  {name}: {{internal: true}}",
                "internal: no way out, and no way in from the machine's network" if not at else "",
            )
            for at, name in enumerate(inside)
        ],
        *(_downloads() if "downloads" in _replica_networks(site) else []),
    ]


def _downloads() -> list[Line | str]:
    return [
        Line(
            "  downloads:",
            "the way to the model hub. Where the weights are in the volume, you may take it out "
            "of each replica and set HF_HUB_OFFLINE to 1",
        ),
        "    driver_opts:",
        Line(
            '      com.docker.network.bridge.enable_icc: "false"',
            "the replicas can't reach each other in it",
        ),
    ]


def _volumes(site: Site) -> list[Line | str]:
    names = [folder.name for folder in site.engine.folders]
    names += ["state", *(["postgres", "redis"] if site.request.shared_stores else [])]
    names += ["prometheus"] if site.request.monitoring else []
    return ["volumes:", *[f"  {name}: {{}}" for name in names]]


def _health(
    path: str, port: int, *, start_s: int, why: str = "", python: str = "python"
) -> list[Line | str]:
    test = json.dumps(["CMD", python, "-c", _ONE_HEALTHY.format(f"{port}{path}")])
    return [
        "  healthcheck:",
        f"    test: {test}",
        "    interval: 5s",
        "    timeout: 10s",
        "    retries: 3",
        Line(f"    start_period: {start_s}s", why),
    ]


def _pinned(image: str) -> str:
    if "@sha256:" in image:
        return "by its digest: the same wherever it is pulled"
    return "a fixed version; add @sha256:DIGEST to make it the same for ever"


def _quoted(text: str) -> str:
    """As YAML's quoted text, which JSON's is. Compose reads ``$`` as a variable unless doubled."""
    return json.dumps(text.replace("$", "$$"), ensure_ascii=False)


EXPORTER = Exporter(
    name="compose",
    help="Write a Docker Compose project for one machine.",
    render=render,
    next_steps=_next_steps,
)
