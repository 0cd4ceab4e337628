"""The Secrets that the person who installs a site makes: no file holds one."""

from __future__ import annotations

from stoker.deploy.kubernetes.gateway_objects import SECRETS
from stoker.deploy.kubernetes.object_names import Names
from stoker.deploy.kubernetes.store_objects import POSTGRES_PORT, REDIS_PORT
from stoker.deploy.site import Site
from stoker.deploy.stoker_image import image_name

_DRAWN = ("engine-key", "first-key", "prometheus-key", "postgres-password", "redis-password")
_PASSWORDS = "P=$(openssl rand -hex 24) R=$(openssl rand -hex 24)"


def secret_keys(site: Site) -> tuple[str, ...]:
    """Every key of the site's Secret that its files refer to."""
    of_hub = ("hub-token",) if site.engine.hub_token_variable else ()
    return tuple(dict.fromkeys((*SECRETS.values(), *_DRAWN, *of_hub)))


def make_secrets(site: Site, kubectl: str) -> tuple[str, ...]:
    """Commands that draw the keys and store them; ``kubectl`` names the namespace."""
    names = Names(site)
    values = {
        "engine-key": "$(openssl rand -hex 32)",
        "first-key": "sk-$(openssl rand -hex 24)",
        "prometheus-key": "$(openssl rand -hex 32)",
        "postgres-password": "$P",
        "redis-password": "$R",
        "postgresql-url": f"postgresql://stoker:$P@{names.postgres}:{POSTGRES_PORT}/stoker",
        "redis-url": f"redis://:$R@{names.redis}:{REDIS_PORT}/0",
        "hub-token": "$HF_TOKEN",
    }
    given = "\n".join(f"{key}={values[key]}" for key in secret_keys(site))
    commands = [
        # On standard input: the arguments of a process can be listed.
        f"{_PASSWORDS}; {kubectl} create secret generic {names.secrets} "
        f"--from-env-file=/dev/stdin <<END\n{given}\nEND"
    ]
    if site.request.tls_host and site.request.cluster.issuer is None:
        files = "--cert=tls.crt --key=tls.key"
        commands.append(f"{kubectl} create secret tls {names.certificate} {files}")
    return tuple(commands)


def push_image(site: Site) -> tuple[str, ...]:
    """Commands that make Stoker's image and bring it to where the nodes pull it from."""
    image = site.request.cluster.gateway_image or f"REGISTRY/{image_name(site)}"
    return (f"docker build -t {image} image && docker push {image}",)
