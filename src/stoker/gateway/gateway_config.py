"""The gateway's configuration file: TOML that people write. Each error names its line."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from stoker import paths
from stoker.access.api_keys import Keys, hash_of, keys_of
from stoker.access.caller import NO_LIMITS
from stoker.access.sign_on.sign_on_rules import SignOnRules
from stoker.certificates.certificate_files import CertificateFiles, ClientCertificates
from stoker.data.facts import tomllib
from stoker.database_addresses import SQLITE, address_in
from stoker.engines import ENGINES, Backend, backend_key
from stoker.errors import UsageError
from stoker.gateway import config_wording, sign_on_sections
from stoker.gateway.api.media_urls import MediaHosts
from stoker.gateway.limit_fields import Count, LimitFields
from stoker.gateway.limiting import limits_store
from stoker.gateway.limiting.limit_plans import LimitPlans, LimitRule, TokenPrice
from stoker.gateway.middleware.cors import Origins
from stoker.gateway.middleware.served_names import ServedNames
from stoker.gateway.model_aliases import ModelAliases
from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.gateway.sign_on_sections import (
    GrantSection,
    IssuerSection,
    ProxySection,
)
from stoker.gateway.tracing import trace_settings
from stoker.gateway.tracing.trace_settings import TraceSettings
from stoker.network_addresses import is_bindable, is_url, without_api_path
from stoker.usage_records import USUAL_DAYS, store_at

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ENV = "env:"
#: A name of a host with ``*``: ports and schemes are no part of what it is compared with.
_HOST = re.compile(r"[a-z0-9_.*?\[\]!-]+", re.IGNORECASE)
#: What browsers send as ``Origin``, with ``*``.
_ORIGIN = re.compile(r"null|[^/\s]*\*|[^/\s]+://[^/\s]+/?", re.IGNORECASE)
#: Characters of a setting's name in the audit log: names of key holders have any length.
_MOST_SHOWN = 100
#: Of a million tokens, which is as much as any request has.
_Price = Annotated[float, Meta(ge=0, le=1e6)]
_Seconds = Annotated[float, Meta(ge=0, le=86_400)]
#: A hundred years: further, the time has no date.
_Days = Annotated[int, Meta(ge=1, le=36_500)]


class GatewaySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[gateway]``: where it listens, and who may use it."""

    bind: Annotated[
        str,
        Meta(
            description="The address to listen on. Any address but 127.0.0.1 exposes the gateway "
            "to the network and needs keys (these, or those of `stoker keys`) or sign-on."
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="The port; 0 lets the system choose.")
    ] = 8000
    keys: Annotated[
        dict[str, str],
        Meta(
            description="Name of each holder, and the SHA-256 of the key in hex, or `env:NAME` for "
            "a variable that holds the key. Without keys, every user of this machine has access."
        ),
    ] = msgspec.field(default_factory=dict)
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Web pages that may use the gateway, such as `https://*.vscode-cdn.net`, "
            "where vscode.dev runs its extensions. Other pages are refused; programs need no entry."
        ),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="More names by which clients address the gateway, such as "
            "`models.example.com` or `*.example.com`, for one without keys behind a proxy. IP "
            "addresses and this machine's names need no entry; with keys, nothing does."
        ),
    ] = ()
    allowed_media_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Hosts from which a model's server may fetch the images and files that a "
            "request names, such as `images.example.com` or `*.example.com`. Data URLs need no "
            "entry; every other URL is refused."
        ),
    ] = ()
    aliases: Annotated[
        dict[str, str],
        Meta(
            description="More names for models: what a client asks for, which may hold `*`, and "
            'the model that answers. `"claude-*" = "local"` is for Claude Code, which asks for '
            "Anthropic's models; `local` is the model that is served."
        ),
    ] = msgspec.field(default_factory=dict)
    caches_per_owner: Annotated[
        bool,
        Meta(
            description="Give each owner a cache of their own in the server, so that the speed of "
            "an answer does not show what others have sent. Needs vLLM 0.9 or later."
        ),
    ] = False
    fit: Annotated[bool, Meta(description="Make requests fit the model's context window.")] = True
    max_prompt_tokens: Annotated[
        Count | Literal["auto"] | None,
        Meta(
            description="The most tokens of a prompt. `auto` bounds only what the backend's cache "
            "does not hold, by what it reads in `first_token_target_s` (system prompt and tools: "
            "in two minutes)."
        ),
    ] = None
    first_token_target_s: Annotated[
        float, Meta(gt=0, description="Seconds until the first token, for `auto`.")
    ] = 30.0
    usage: Annotated[
        str,
        Meta(
            description="Where [usage](../usage.md) is recorded: `sqlite` is a file of this user, "
            "`postgresql://USER@HOST/DATABASE` a database for several gateways, `env:NAME` a "
            "variable with such a URL, which may then hold a password, `off` nowhere. A change "
            "takes effect at the next start."
        ),
    ] = SQLITE
    usage_days: Annotated[
        _Days, Meta(description="Days after which rows of usage are deleted.")
    ] = USUAL_DAYS
    traces: Annotated[
        str | None,
        Meta(
            description="Where [traces](../monitoring.md#traces) are sent: an OpenTelemetry "
            "collector, such as `http://127.0.0.1:4318`. Needs `pip install 'stoker[traces]'`. A "
            "change takes effect at the next start."
        ),
    ] = None
    traces_sample_ratio: Annotated[
        float,
        Meta(ge=0, le=1, description="The share of requests that are traced, from 0 to 1."),
    ] = 1.0
    health_check_s: Annotated[
        float, Meta(ge=0.1, description="Seconds between two health checks of a backend.")
    ] = 5.0
    drain_s: Annotated[
        _Seconds | None,
        Meta(
            description="Seconds that running answers have when the gateway is ordered to stop "
            "(SIGTERM); it takes no new requests then. Left out: 10.",
        ),
    ] = None
    limits_store: Annotated[
        str | None,
        Meta(
            description="Where several gateways share the counts for limits: a `redis://` or "
            "`postgresql://` address, or `env:NAME` for a variable that holds it, which may then "
            "hold a password. Left out: this gateway counts by itself."
        ),
    ] = None


class TlsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[tls]``: the certificate of the gateway. Without it, the gateway speaks plain HTTP."""

    certificate: Annotated[
        str,
        Meta(
            description="The PEM file with the server's certificate, then those of intermediate "
            "authorities. Relative paths begin at the configuration's folder. New connections "
            "get a changed file within a second."
        ),
    ]
    key: Annotated[
        str, Meta(description="The PEM file with its key: not encrypted, and for its owner alone.")
    ]
    client_ca: Annotated[
        str | None,
        Meta(description="The PEM file of the authority that signs clients' certificates."),
    ] = None
    client_certificates: Annotated[
        ClientCertificates,
        Meta(
            description="With `client_ca`: whether a connection without a certificate is refused, "
            "`required`, or is let in, `optional`."
        ),
    ] = "required"


class BackendSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[backend]]``: one server that runs models."""

    url: Annotated[str, Meta(description="Its address, the part before `/v1`.")]
    engine: Annotated[
        str | None, Meta(description="Its engine, such as `vllm`. Left out: Stoker detects it.")
    ] = None
    key_env: Annotated[str | None, Meta(description="The environment variable with its key.")] = (
        None
    )
    max_concurrent: Annotated[
        Count | None,
        Meta(description="Requests sent to it at the same time; more are queued."),
    ] = None
    tokenizer: Annotated[
        str | None,
        Meta(
            description="A GGUF file or a folder with `tokenizer.json`, to count with where the "
            "server can't. Those of Ollama and LM Studio on this machine are found automatically."
        ),
    ] = None


class LimitSection(LimitFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[limit]]``: what some owners may use of some models."""

    model: Annotated[
        str, Meta(description="The models that it limits, by name; it may hold `*`.")
    ] = "*"
    owner: Annotated[
        str, Meta(description="The holders of keys that it limits; it may hold `*`.")
    ] = "*"
    per_owner: Annotated[
        bool, Meta(description="For each holder by itself; `false`: for all of them together.")
    ] = True


class PriceSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[price]]``: what tokens of some models cost. The first one that matches counts."""

    model: Annotated[str, Meta(description="The models, by name; it may hold `*`.")] = "*"
    input_per_million: Annotated[
        _Price, Meta(description="A million tokens of prompts, in any currency.")
    ] = 0.0
    output_per_million: Annotated[
        _Price, Meta(description="A million tokens of answers, in the same currency.")
    ] = 0.0


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gateway: GatewaySection = GatewaySection()
    backend: Annotated[list[BackendSection], Meta(min_length=1)] = []
    limit: list[LimitSection] = []
    price: list[PriceSection] = []
    issuer: list[IssuerSection] = []
    proxy: ProxySection | None = None
    grant: list[GrantSection] = []
    tls: TlsSection | None = None


class _SignOnFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    issuer: list[IssuerSection] = []
    proxy: ProxySection | None = None
    grant: list[GrantSection] = []


_AnyFile = TypeVar("_AnyFile", _File, _SignOnFile)

SECTIONS: Mapping[str, type[msgspec.Struct]] = {
    "gateway": GatewaySection,
    "backend": BackendSection,
    "limit": LimitSection,
    "price": PriceSection,
    "issuer": IssuerSection,
    "proxy": ProxySection,
    "grant": GrantSection,
    "tls": TlsSection,
}


class ConfiguredBackend(msgspec.Struct, frozen=True):
    """One backend as configured; ``backend.engine`` is empty until the server is recognised."""

    backend: Backend
    max_concurrent: int | None
    fit: FitSettings


class Config(msgspec.Struct, frozen=True):
    """A configuration that was read and checked."""

    bind: str
    port: int
    keys: Keys
    sign_on: SignOnRules
    origins: Origins
    served_names: ServedNames
    media_hosts: MediaHosts
    aliases: ModelAliases
    caches_per_owner: bool
    backends: tuple[ConfiguredBackend, ...]
    health_check_s: float
    #: ``None``: as long as ``GatewayTimings.drain_s``.
    drain_s: float | None
    limits: LimitPlans
    #: The store that other gateways share, as ``database_addresses.address_in`` reads it.
    limits_store: str | None
    #: As ``usage_records.store_at`` reads it.
    usage: str
    usage_days: int
    traces: TraceSettings | None = None
    tls: CertificateFiles | None = None
    #: Of the file's text.
    sha256: str = ""
    #: Each setting's value by its name, such as ``gateway.port``, to find what a change changed.
    settings: Mapping[str, object] = {}


def changed_settings(before: Config, after: Config) -> list[str]:
    """The names of the settings that differ. Their values may be secrets, and are left out."""
    old, new = before.settings, after.settings
    changed = (name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return sorted(name[:_MOST_SHOWN] for name in changed)


def load(path: Path, env: Mapping[str, str] = os.environ) -> Config:
    """Read and check a file. Raises ``UsageError``, with the line, where it has a mistake."""
    return _Reader(path, _text(path), env).config()


def load_sign_on(path: Path) -> SignOnRules:
    """Read and check a file that has only the sections of sign-on. Raises ``UsageError``."""
    return _Reader(path, _text(path), {}).sign_on()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The configuration {path} can't be read.",
            f"The system reports: {error}.",
            "Give the path of a TOML file; docs/gateway.md shows one.",
        ) from error


class _Reader:
    def __init__(self, path: Path, text: str, env: Mapping[str, str]) -> None:
        self._path = path
        self._text = text
        self._env = env

    def config(self) -> Config:
        file = self._file(_File)
        if not file.backend:
            raise UsageError(
                f"{self._path} names no backend.",
                "The gateway has no server to send requests to.",
                'Add a section [[backend]] with url = "http://127.0.0.1:8001".',
            )
        gateway = file.gateway
        if not is_bindable(gateway.bind):
            raise self._wrong(
                "gateway.bind",
                f"{gateway.bind!r} is not an address to listen on",
                "Write an IP address without brackets, such as 127.0.0.1, or a host name.",
            )
        hosts, fix = "the name of a host", "Write the name alone, such as *.example.com: no port."
        self._check_patterns("allowed_hosts", gateway.allowed_hosts, _HOST, hosts, fix)
        self._check_patterns("allowed_media_hosts", gateway.allowed_media_hosts, _HOST, hosts, fix)
        pages, fix = "the origin of a page", "Write it like https://*.example.com, with no path."
        self._check_patterns("allowed_origins", gateway.allowed_origins, _ORIGIN, pages, fix)
        backends = tuple(
            self._backend(index, section, gateway) for index, section in enumerate(file.backend)
        )
        return Config(
            bind=gateway.bind,
            port=gateway.port,
            keys=keys_of(self._hashes(gateway.keys)),
            sign_on=self._sign_on(file, has_prices=bool(file.price)),
            origins=Origins(gateway.allowed_origins),
            served_names=ServedNames(gateway.allowed_hosts),
            media_hosts=MediaHosts(gateway.allowed_media_hosts),
            aliases=ModelAliases(gateway.aliases),
            caches_per_owner=gateway.caches_per_owner,
            backends=backends,
            health_check_s=gateway.health_check_s,
            drain_s=gateway.drain_s,
            sha256=hashlib.sha256(self._text.encode()).hexdigest(),
            settings=_flat(msgspec.to_builtins(file)),
            tls=self._tls(file.tls),
            usage=self._usage(gateway.usage),
            usage_days=gateway.usage_days,
            traces=self._traces(gateway),
            limits=LimitPlans(
                [
                    self._limit(index, section, has_prices=bool(file.price))
                    for index, section in enumerate(file.limit)
                ],
                [TokenPrice(**msgspec.structs.asdict(section)) for section in file.price],
            ),
            limits_store=self._limits_store(gateway.limits_store),
        )

    def sign_on(self) -> SignOnRules:
        file = self._file(_SignOnFile)
        return self._sign_on(file, has_prices=False)

    def _file(self, form: type[_AnyFile]) -> _AnyFile:
        try:
            return msgspec.convert(tomllib.loads(self._text), form)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise UsageError(
                f"{self._path} is not valid TOML: {error}.",
                fix="Texts need quotes; sections look like [gateway] and [[backend]].",
            ) from None
        except msgspec.ValidationError as error:
            message, _, where = str(error).partition(" - at `$.")
            key = where.removesuffix("`")
            unknown = re.search(r"unknown field `([^`]+)`", message)
            if unknown:
                key = f"{key}.{unknown[1]}".strip(".")
                raise self._wrong(
                    key, f"{unknown[1]!r} is not a setting", _known(key, form)
                ) from None
            missing = config_wording.missing_name(message)
            fix = _fix(f"{key}.{missing}" if missing else key, message)
            raise self._wrong(key, config_wording.in_plain_words(message), fix) from None

    def _check_patterns(
        self, name: str, patterns: Sequence[str], form: re.Pattern[str], what: str, fix: str
    ) -> None:
        """Refuse a pattern in another form: it would match nothing, with no message."""
        for pattern in patterns:
            if not form.fullmatch(pattern):
                raise self._wrong(f"gateway.{name}", f"{pattern!r} is not {what}", fix)

    def _sign_on(self, file: _File | _SignOnFile, *, has_prices: bool) -> SignOnRules:
        sections = (file.issuer, file.proxy, file.grant)
        found = sign_on_sections.rules(*sections, self._path.parent, self._wrong)
        unpriced = sign_on_sections.money_limit(file.grant)
        if unpriced and not has_prices:
            raise self._no_price(unpriced)
        return found

    def _hashes(self, keys: Mapping[str, str]) -> dict[str, str]:
        """The SHA-256 of each holder's key."""
        holders: dict[str, str] = {}
        for name, value in keys.items():
            if not name or not name.isprintable():
                problem = f"{name!r} is not the name of a holder"
                raise self._wrong("gateway.keys", problem, "Write it in characters that print.")
            other = holders.setdefault(self._hash(name, value), name)
            if other != name:
                problem = f"{name} has the same key as {other}"
                raise self._wrong(f"gateway.keys.{name}", problem, "Give each a key of their own.")
        return {name: value for value, name in holders.items()}

    def _hash(self, name: str, value: str) -> str:
        where = f"gateway.keys.{name}"
        if value.startswith(_ENV):
            return hash_of(self._variable(where, value.removeprefix(_ENV)))
        if not _SHA256.fullmatch(value):
            raise self._wrong(
                where,
                f"the value of {name} is not the SHA-256 of a key",
                "Create it: printf %s KEY | sha256sum. Or name a variable: env:NAME.",
            )
        if value == hash_of(""):
            problem = f"the value of {name} is the SHA-256 of an empty text"
            raise self._wrong(where, problem, "Create it again: the key was left out.")
        return value

    def _usage(self, setting: str) -> str:
        """The setting, if it means a place."""
        try:
            store_at(setting, self._env)
        except UsageError as error:
            raise self._at("gateway.usage", error) from None
        return setting

    def _traces(self, gateway: GatewaySection) -> TraceSettings | None:
        where, url = "gateway.traces", gateway.traces
        if url is None:
            return None
        if not is_url(url) or re.search(r"[\s@]", url):
            problem = "this is not the address of a collector"  # it may hold a password
            fix = "Write it like http://127.0.0.1:4318. Headers go to OTEL_EXPORTER_OTLP_HEADERS."
            raise self._wrong(where, problem, fix)
        if not trace_settings.is_installed():
            problem = "traces need Python packages that are not installed"
            raise self._wrong(where, problem, "Install them: pip install 'stoker[traces]'.")
        return TraceSettings(trace_settings.collector_url(url), gateway.traces_sample_ratio)

    def _tls(self, section: TlsSection | None) -> CertificateFiles | None:
        """The files of the certificate; they are read where it is served."""
        if section is None:
            return None
        client_ca = section.client_ca
        return CertificateFiles(
            self._beside("tls.certificate", section.certificate),
            self._beside("tls.key", section.key),
            self._beside("tls.client_ca", client_ca) if client_ca is not None else None,
            section.client_certificates,
        )

    def _beside(self, where: str, path: str) -> Path:
        """A path of the configuration, which may be relative to the configuration's folder."""
        if "\0" in path:
            raise self._wrong(where, "no path holds a zero byte", "Leave it out.")
        return self._path.parent / paths.expanded(path)

    def _variable(self, where: str, name: str) -> str:
        value = self._env.get(name)
        if not value:
            raise self._wrong(where, f"the variable {name} is not set", "Set it and start again.")
        try:
            return backend_key.cleaned(value)
        except ValueError as error:
            problem = f"the variable {name} holds no key: {error}"
            raise self._wrong(where, problem, "Set it to the key alone.") from None

    def _backend(
        self, index: int, section: BackendSection, gateway: GatewaySection
    ) -> ConfiguredBackend:
        at = f"backend[{index}]"
        if section.engine is not None and section.engine not in ENGINES:
            known = ", ".join(ENGINES)
            problem = f"there is no engine called {section.engine!r}"
            raise self._wrong(f"{at}.engine", problem, f"Choose one of: {known}; or leave it out.")
        if not is_url(section.url) or re.search(r"[\s@]", section.url):
            problem = "this is not the address of a server"  # not repeated: it may hold a password
            raise self._wrong(f"{at}.url", problem, "Write it like http://127.0.0.1:8001.")
        tokenizer = None
        if section.tokenizer is not None:
            tokenizer = self._beside(f"{at}.tokenizer", section.tokenizer)
            if not os.path.exists(tokenizer):  # noqa: PTH110  (no fault where it can be no path)
                problem = f"there is no tokenizer at {tokenizer}"
                raise self._wrong(f"{at}.tokenizer", problem, "Give a path that exists.")
        key = self._variable(f"{at}.key_env", section.key_env) if section.key_env else None
        url = without_api_path(section.url)
        fit = FitSettings(
            enabled=gateway.fit,
            max_prompt_tokens=gateway.max_prompt_tokens,
            first_token_target_s=gateway.first_token_target_s,
            tokenizer=tokenizer,
        )
        return ConfiguredBackend(
            Backend(url, section.engine or "", key, section.key_env), section.max_concurrent, fit
        )

    def _limit(self, index: int, section: LimitSection, *, has_prices: bool) -> LimitRule:
        limits = section.limits()
        if limits == NO_LIMITS:
            problem = "this section sets no limit"
            raise self._wrong(f"limit[{index}]", problem, "Set one, such as requests_per_minute.")
        if section.costs and not has_prices:
            raise self._no_price(f"limit[{index}].{section.costs[0]}")
        return LimitRule(limits, section.model, section.owner, section.per_owner)

    def _no_price(self, key: str) -> UsageError:
        problem = "this limits money, and the file has no price"
        return self._wrong(key, problem, "Add a section [[price]], or limit tokens.")

    def _limits_store(self, value: str | None) -> str | None:
        where = "gateway.limits_store"
        if value is None:
            return None
        try:
            limits_store.check(address_in(value, self._env))
        except UsageError as error:
            raise self._at(where, error) from None
        return value

    def _at(self, key: str, error: UsageError) -> UsageError:
        """The error of a setting's own reader, with the setting's line."""
        what = error.what[:1].lower() + error.what[1:].rstrip(".")
        return self._wrong(key, what, f"{error.why} {error.fix}".strip())

    def _wrong(self, key: str, what: str, fix: str = "") -> UsageError:
        line = _line_of(self._text, key)
        where = f"{self._path}, line {line}" if line else str(self._path)
        return UsageError(f"{where}: {what}.", f"The setting is {key}." if key else "", fix)


def _flat(value: object, at: str = "") -> dict[str, object]:
    """Every value within a value, by its path."""
    if isinstance(value, dict):
        parts = [(f"{at}.{name}".lstrip("."), part) for name, part in value.items()]
    elif isinstance(value, list):
        parts = [(f"{at}[{index}]", part) for index, part in enumerate(value)]
    else:
        return {at: value}
    return {name: leaf for at, part in parts for name, leaf in _flat(part, at).items()}


def _known(key: str, file: type[msgspec.Struct]) -> str:
    section = _section(key)
    known = _names(section) if "." in key else file.__struct_fields__
    return f"The settings are: {', '.join(known)}."


def _section(key: str) -> type[msgspec.Struct]:
    return SECTIONS.get(re.split(r"[.\[]", key)[0], GatewaySection)


def _fix(key: str, message: str) -> str:
    """How to write a key that is missing or wrong."""
    if "array" in message and message.endswith("got `object`") and "." not in key:
        return f"Write [[{key}]]: there may be several."
    meaning = config_wording.without_links(_meaning(key))
    return (
        f"Its meaning: {meaning}" if meaning else "docs/reference/settings.md lists every setting."
    )


def _meaning(key: str) -> str:
    """What a key sets, for the error message; empty for a section."""
    name = re.sub(r"\[[^\]]*\]", "", key.rpartition(".")[2])
    section = _section(key)
    meanings = {setting: meaning for setting, meaning, _ in settings(section)}
    return meanings.get(name, "")


def _line_of(text: str, key: str) -> int | None:
    """The line of a key such as ``backend[1].url``: its own, else that of its section."""
    *section, name = re.split(r"\.(?![^\[]*\])", key) if key else [""]
    wanted = ".".join(section)
    if section:  # an entry of a list is in the list's line, or near it
        name = re.sub(r"\[\d+\]$", "", name)
    seen: dict[str, int] = {}
    current, found = "", None
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line)
        if header:
            current = header[2].replace('"', "")
            if header[1] == "[[":
                seen[current] = seen.get(current, -1) + 1
                current = f"{current}[{seen[current]}]"
            if current in (wanted, key, name):
                found = number
        elif current == wanted and re.match(rf'\s*"?{re.escape(name)}"?\s*[=.]', line):
            return number
    return found


def settings(section: type[msgspec.Struct]) -> list[tuple[str, str, Any]]:
    """Name, meaning and default of each setting of a section, for the documentation."""
    schemas = msgspec.json.schema(section)["$defs"][section.__name__]["properties"]
    rows = ((name, schemas[name]) for name in _names(section))
    return [(name, row.get("description", ""), row.get("default")) for name, row in rows]


def _names(section: type[msgspec.Struct]) -> tuple[str, ...]:
    """The names of a section's settings: its own, then those that others have as well."""
    own = [name for name in section.__struct_fields__ if name in section.__annotations__]
    return (*own, *(name for name in section.__struct_fields__ if name not in own))
