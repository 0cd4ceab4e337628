"""The script that makes a site's secrets on the machine: no file that Stoker writes holds one."""

from __future__ import annotations

from stoker.deploy.site import Site
from stoker.deploy.site_file import Line, SiteFile


def secrets_script(site: Site, *, postgres_host: str, redis_host: str) -> SiteFile:
    """``make-secrets.sh``: makes what is missing in ``secrets/``, and keeps what is there."""
    return SiteFile.of(
        "make-secrets.sh",
        [
            "#!/bin/sh",
            "# Makes the secrets of this site, once. What is there already is kept.",
            Line("set -eu"),
            'cd "$(dirname "$0")"',
            Line("umask 077", "the folder opens for this account alone"),
            "mkdir -p secrets",
            Line("chmod 700 secrets", "also where it was there before, with a certificate in it"),
            "cd secrets",
            "random() { openssl rand -hex 24; }",
            Line(
                'keep() { [ -s "$1" ] || { umask 022; cat >"$1"; umask 077; }; }',
                "programs in containers read the files under other accounts: the folder is closed, "
                "the files are not",
            ),
            "",
            *_engine(),
            *_hub(site),
            *_gateway(site, postgres_host, redis_host),
            *_certificate(site),
            Line('echo "secrets/ is complete."'),
        ],
        executable=True,
    )


def kept_private() -> SiteFile:
    """``.gitignore``: the folder belongs into version control, its secrets don't."""
    return SiteFile.of(".gitignore", [Line("/secrets/", "what make-secrets.sh draws")])


def _engine() -> list[Line | str]:
    return [
        Line("engine_key=$(cat engine.key 2>/dev/null || random)", "what replicas ask for"),
        'echo "$engine_key" | keep engine.key',
        'echo "VLLM_API_KEY=$engine_key" | keep engine.env',
    ]


def _hub(site: Site) -> list[Line | str]:
    token = site.engine.hub_token_variable
    if token is None:
        return []
    return [
        Line(
            f'echo "{token}=${{{token}:-}}" | keep hub.env',
            "the model hub's token, from the environment of this script; open models need none",
        ),
    ]


def _gateway(site: Site, postgres_host: str, redis_host: str) -> list[Line | str]:
    start: list[Line | str] = [
        "prometheus_key=$(cat prometheus.key 2>/dev/null || random)",
        'printf %s "$prometheus_key" | keep prometheus.key',
        "{",
        '  echo "ENGINE_KEY=$engine_key"',
        '  echo "PROMETHEUS_KEY=$prometheus_key"',
    ]
    if not site.request.shared_stores:
        return ["", *start, "} | keep gateway.env"]
    return [
        "postgres_password=$(cat postgres.password 2>/dev/null || random)",
        'printf %s "$postgres_password" | keep postgres.password',
        "redis_password=$(cat redis.password 2>/dev/null || random)",
        'printf %s "$redis_password" | keep redis.password',
        Line(
            'case "$postgres_password$redis_password" in',
            "both become parts of addresses and of commands, where others have a meaning",
        ),
        "*[!a-zA-Z0-9._~-]*)",
        '    echo "A password in secrets/ has a character other than letters, digits and ._~-" >&2',
        '    echo "Write another one, or delete its file: then one is drawn." >&2',
        "    exit 1 ;;",
        "esac",
        Line(
            'echo "requirepass $redis_password" | keep redis.conf',
            "a file: on a command line every account of the machine could read it",
        ),
        *start,
        f'  echo "USAGE_DATABASE=postgresql://stoker:$postgres_password@{postgres_host}/stoker"',
        f'  echo "LIMITS_STORE=redis://:$redis_password@{redis_host}/0"',
        "} | keep gateway.env",
    ]


def _certificate(site: Site) -> list[Line | str]:
    host = site.request.tls_host
    if host is None:
        return []
    return [
        Line(
            "if [ ! -s tls.crt ]; then",
            "for a first try. Clients refuse a certificate that signs itself: put yours in its "
            "place, and its key",
        ),
        "  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 \\",
        f'    -subj "/CN={host}" -addext "subjectAltName=DNS:{host}" \\',
        "    -keyout tls.key -out tls.crt 2>/dev/null",
        "  chmod 644 tls.key tls.crt",
        "fi",
    ]
