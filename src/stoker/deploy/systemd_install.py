"""Where a site's parts lie on a machine without containers, and the script that puts them there."""

from __future__ import annotations

import shlex

from stoker.deploy.site import ROUTER_VERSION, Site
from stoker.deploy.site_file import Line, SiteFile

CONFIGURATION = "/etc/stoker"
SECRETS = f"{CONFIGURATION}/secrets"
STATE = "/var/lib/stoker"
PROMETHEUS_KEY = "/etc/prometheus/stoker.key"
_PROGRAMS = "/opt/stoker"


def engine_python(site: Site) -> str:
    """The Python of the engine's environment: one for each version, so that the old one stays."""
    return f"{_engine_environment(site)}/bin/python"


def gateway_bin(site: Site) -> str:
    """The programs of the gateways' and routers' environment."""
    return f"{_PROGRAMS}/gateway-{site.stoker_version}/bin"


def stoker_command(site: Site) -> str:
    """How Stoker's command is run, with the keys and the audit log of the gateways."""
    return f"sudo -u stoker STOKER_HOME={STATE} {gateway_bin(site)}/stoker"


def _engine_environment(site: Site) -> str:
    return f"{_PROGRAMS}/{'-'.join(site.engine.packages).replace('==', '-')}"


def install_script(site: Site) -> SiteFile:
    """``install.sh``: puts programs and files in their places, and starts nothing."""
    wanted = f'"stoker[teams]=={site.stoker_version}" vllm-router=={ROUTER_VERSION}'
    return SiteFile.of(
        "install.sh",
        [
            "#!/bin/sh",
            "# Puts programs and files in their places. It starts nothing, and may run again.",
            "set -eu",
            'cd "$(dirname "$0")"',
            Line("umask 022", "the account stoker reads what is installed here"),
            '[ "$(id -u)" -eq 0 ] || { echo "Run it as root." >&2; exit 2; }',
            '[ -s secrets/gateway.env ] || { echo "Run ./make-secrets.sh first." >&2; exit 2; }',
            *_needed(site),
            Line(
                "install -D -m 644 sysusers.conf /etc/sysusers.d/stoker.conf", "the account stoker"
            ),
            "systemd-sysusers stoker.conf",
            *_model_folder(site),
            "",
            "environment() {",
            "    folder=$1; shift",
            Line('    [ -e "$folder/installed" ] && return', "it is complete"),
            '    python3 -m venv --clear "$folder"',
            '    "$folder/bin/python" -m pip install --quiet "$@"',
            '    touch "$folder/installed"',
            "}",
            Line(
                f"environment {_PROGRAMS}/gateway-{site.stoker_version} {wanted}",
                "an environment for each version: what runs is not changed",
            ),
            _engine_packages(site),
            "",
            f"install -d -m 755 {CONFIGURATION} {CONFIGURATION}/engine",
            f"install -m 644 etc/* rolling.py {CONFIGURATION}/",
            f"install -m 644 engine/* {CONFIGURATION}/engine/",
            Line(f"install -d -m 700 {SECRETS}", "systemd reads them as root, before it changes"),
            f"install -m 600 secrets/* {SECRETS}/",
            "install -m 644 units/* /etc/systemd/system/",
            Line(
                "install -m 644 front/stoker.conf /etc/nginx/conf.d/stoker.conf",
                "nginx comes from the distribution, and is started by it",
            ),
            *_monitoring(site),
            *_stores(site),
            "systemctl daemon-reload",
            "systemctl enable stoker.target",
            "systemctl reload-or-restart nginx.service",
        ],
        executable=True,
    )


def _needed(site: Site) -> list[Line | str]:
    """Ends before anything is installed where a part of the distribution is missing."""
    programs = ["nginx", *(["psql", "redis-server"] if site.request.shared_stores else [])]
    lines: list[Line | str] = [
        Line(
            f"for program in {' '.join(programs)}; do",
            "these come from the distribution, as packages that start them",
        ),
        '    command -v "$program" >/dev/null || { echo "Install $program." >&2; exit 2; }',
        "done",
    ]
    for library, package in site.engine.libraries:
        has_it = f"ldconfig -p | grep -qF {library}"
        advice = f"Install {library}. Debian's package is {package}."
        lines.append(
            Line(
                f'{has_it} || {{ echo "{advice}" >&2; exit 2; }}',
                "the engine is linked with it, and no wheel holds it",
            )
        )
    return lines


def _engine_packages(site: Site) -> Line:
    command = f"environment {_engine_environment(site)} {' '.join(site.engine.packages)}"
    index = site.engine.package_index
    if not index:
        return Line(command)
    return Line(
        f"{command} --extra-index-url {index}",
        "a build for the CPU, which others than vLLM's makers publish on PyPI, and the index with "
        "PyTorch's. Where this machine does not reach it, put the wheels in a folder: "
        "PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER ./install.sh",
    )


def _model_folder(site: Site) -> list[Line | str]:
    if site.engine.model_folder is None:
        return []
    folder = shlex.quote(site.engine.model_folder[0])
    return [
        Line(
            f"runuser -u stoker -- test -r {folder}/config.json || {{",
            "the replicas run under this account",
        ),
        f"    echo The account stoker can\\'t read {folder}/config.json. >&2",
        "    echo Let it read the files and enter each folder above them. >&2",
        "    exit 1",
        "}",
    ]


def _monitoring(site: Site) -> list[Line | str]:
    if not site.request.monitoring:
        return []
    return [
        Line(
            "if [ -d /etc/prometheus ]; then",
            "the distribution's Prometheus: add the jobs of prometheus/prometheus.yml to its file",
        ),
        f"    install -m 640 -g prometheus secrets/prometheus.key {PROMETHEUS_KEY}",
        "    install -m 644 prometheus/stoker_rules.yaml /etc/prometheus/stoker_rules.yaml",
        "fi",
    ]


def _stores(site: Site) -> list[Line | str]:
    if not site.request.shared_stores:
        return []
    return [
        "",
        Line(
            "runuser -u postgres -- psql --quiet --set ON_ERROR_STOP=1 <<SQL",
            "PostgreSQL and Redis come from the distribution. The password goes through standard "
            "input: no process list shows it",
        ),
        "SELECT 'CREATE ROLE stoker LOGIN' WHERE NOT EXISTS",
        "  (SELECT FROM pg_roles WHERE rolname = 'stoker') \\gexec",
        "ALTER ROLE stoker PASSWORD '$(cat secrets/postgres.password)';",
        "SELECT 'CREATE DATABASE stoker OWNER stoker' WHERE NOT EXISTS",
        "  (SELECT FROM pg_database WHERE datname = 'stoker') \\gexec",
        "SQL",
        "install -m 640 -g redis secrets/redis.conf /etc/redis/stoker.conf",
        Line(
            "grep -qxF 'include /etc/redis/stoker.conf' /etc/redis/redis.conf ||",
            "the password, quotas that outlast a restart, and counts that are never dropped",
        ),
        "    printf '%s\\n' 'include /etc/redis/stoker.conf' 'appendonly yes' \\",
        "        'maxmemory-policy noeviction' >>/etc/redis/redis.conf",
        "systemctl restart redis-server.service",
        "",
    ]
