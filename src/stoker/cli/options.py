"""Options that several commands take, so that they read and behave the same everywhere."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from stoker import paths
from stoker.certificates.certificate_files import CertificateFiles, ClientCertificates, inspect
from stoker.cli.render import output
from stoker.engines import backend_key
from stoker.errors import UsageError
from stoker.network_addresses import is_bindable, is_url, without_api_path


def _bind(value: str) -> str:
    """``value`` as it is. Raises ``UsageError`` where it is not an address to listen on."""
    if not is_bindable(value):
        raise UsageError(
            f"--bind {value!r} is not an address to listen on.",
            "It is one IP address of this machine, without brackets, or a host name.",
            "Omit it for this machine only, or write 0.0.0.0 for every address.",
        )
    return value


def _place_of_usage(value: str) -> str:
    """``value`` as it is. Raises ``UsageError`` where usage can't be kept there."""
    from stoker.usage_records import store_at  # noqa: PLC0415  (a plan needs no database)

    store_at(value)
    return value


Bind = Annotated[
    str,
    typer.Option(
        callback=_bind,
        help="The gateway's address. Any but 127.0.0.1 exposes the gateway to the network.",
    ),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        help="Listen beyond this machine without keys: every machine that reaches the address may "
        "use the models, at your cost, and read what is served.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
KeyEnv = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The environment variable that holds its key."),
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="The gateway's port.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace what runs now.")]
TlsCert = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert",
        metavar="FILE",
        help="Serve https with this certificate, a PEM file. A changed file is read again.",
    ),
]
TlsKey = Annotated[
    Path | None, typer.Option("--tls-key", metavar="FILE", help="The key of the certificate.")
]
TlsClientCa = Annotated[
    Path | None,
    typer.Option(
        "--tls-client-ca",
        metavar="FILE",
        help="Ask clients for certificates that this authority signed, a PEM file.",
    ),
]
TlsClientCerts = Annotated[
    ClientCertificates,
    typer.Option(
        "--tls-client-certs", help="Whether a client without a certificate is refused or let in."
    ),
]
Usage = Annotated[
    str,
    typer.Option(
        callback=_place_of_usage,
        metavar="WHERE",
        help="Where usage is recorded: sqlite, off, or env:NAME for a variable with PostgreSQL's "
        "URL.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer every question with yes.")]


def writable(path: Path | None) -> Path | None:
    """A file that an option names, before the work that fills it. Raises ``UsageError``."""
    if path is None:
        return None
    folder = path.absolute().parent
    if path.is_dir():
        reason = "It is a folder."
    elif not folder.is_dir():
        reason = f"There is no folder {folder}."
    elif os.access(path if path.exists() else folder, os.W_OK):
        return path
    else:
        reason = "This account has no permission."
    raise UsageError(f"Stoker can't write {path}.", reason, "Name another file.")


_KEY_HINT = (
    "Omit them. A key is passed by the name of the variable that holds it: --key-env NAME. Servers "
    "that require a name and a password can't be used."
)


def certificate_files(
    cert: Path | None, key: Path | None, client_ca: Path | None, client_certs: ClientCertificates
) -> CertificateFiles | None:
    """The files that the options name; ``None`` for plain HTTP. Prints what clients will refuse.

    Raises ``UsageError`` where one is missing, ``StokerError`` for files that can't be served.
    """
    if client_ca is None and client_certs != "required":
        raise UsageError(
            f"--tls-client-certs {client_certs} needs --tls-client-ca.",
            "Without an authority the gateway asks no client for a certificate.",
            "Name the authority's file: --tls-client-ca ca.pem; or omit --tls-client-certs.",
        )
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise UsageError(
            "--tls-cert and --tls-key are needed together.",
            "TLS needs the server's certificate and its key.",
            "Add the one that is missing: --tls-cert server.pem --tls-key server.key.",
        )
    # Not resolved: a link that is pointed at a renewed file is to be followed again.
    files = CertificateFiles(
        paths.expanded(cert).absolute(),
        paths.expanded(key).absolute(),
        paths.expanded(client_ca).absolute() if client_ca else None,
        client_certs,
    )
    if warning := inspect(files).warning:
        output.warn(warning)
    return files


def key_from(key_env: str | None) -> str | None:
    """The key that the named variable holds. Raises ``UsageError`` where it holds none."""
    if key_env is None:
        return None
    value = os.environ.get(key_env)
    if value is None:
        raise UsageError(
            f"The variable {key_env} is not set.",
            fix="Set it to the server's key. A server without one needs no --key-env.",
        )
    try:
        return backend_key.cleaned(value)
    except ValueError as error:
        raise UsageError(
            f"The variable {key_env} holds no key: {error}.",
            fix=f"Set {key_env} to the key alone. A server without one needs no --key-env.",
        ) from None


def address(url: str) -> str:
    """``url`` without the path of the API. Raises ``UsageError`` where it is not an address."""
    refuse_secrets(url, _KEY_HINT)
    if not is_url(url) or "?" in url or "#" in url:
        raise UsageError(
            f"{without_secrets(url)!r} is not an address.",
            "An address is http or https, a host and a port, and optionally a path.",
            "Write it like http://127.0.0.1:11434.",
        )
    return without_api_path(url)


def refuse_secrets(url: str, fix: str) -> None:
    """Raise ``UsageError`` where ``url`` holds a name and a password; it does not repeat them."""
    if "@" in url:
        raise UsageError(
            "The address holds a name and a password.",
            "Addresses are printed, logged and stored; secrets do not belong there.",
            fix,
        )


def without_secrets(text: str) -> str:
    """``text``, meant as an address, without the parts that could hold a secret."""
    return re.split(r"[?#]", text.rpartition("@")[2])[0]
