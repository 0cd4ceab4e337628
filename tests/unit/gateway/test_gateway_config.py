"""The configuration file: what may stand in it, and which line is wrong."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
import pytest

from stoker.access.api_keys import hash_of
from stoker.access.caller import ANYONE, Caller
from stoker.certificates.certificate_files import CertificateFiles
from stoker.errors import UsageError
from stoker.gateway import Gateway, gateway_config
from stoker.gateway.gateway_config import Config, load
from stoker.gateway.sign_on_sections import IssuerSection, ProxySection
from stoker.server.gateway_access import GatewayAccess
from stoker.server.gateway_service import Service, apply

BACKEND = '[[backend]]\nurl = "http://127.0.0.1:8001"\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _owner(config: Config, key: str) -> str | None:
    caller = config.keys.caller(f"Bearer {key}")
    return caller.owner if caller else None


def test_one_backend_is_enough(tmp_path: Path) -> None:
    config = load(written(tmp_path, BACKEND))
    assert (config.bind, config.port) == ("127.0.0.1", 8000)
    assert [b.backend.url for b in config.backends] == ["http://127.0.0.1:8001"]
    assert config.keys.caller(None) == ANYONE


def test_everything_that_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    text = f"""
[gateway]
bind = "0.0.0.0"
port = 9000
fit = false
max_prompt_tokens = "auto"
first_token_target_s = 10
health_check_s = 1
allowed_origins = ["https://*.page.example"]
allowed_hosts = ["models.example"]
allowed_media_hosts = ["*.images.example"]

[gateway.aliases]
"claude-*" = "local"

[gateway.keys]
ann = "{hash_of("a")}"
bob = "env:BOB"

[[backend]]
url = "https://gpu1:8000/v1/"
engine = "vllm"
key_env = "GPU1"
max_concurrent = 16
tokenizer = "tokenizer"
"""
    config = load(written(tmp_path, text), {"BOB": "b", "GPU1": "secret"})
    assert [_owner(config, key) for key in "abc"] == ["ann", "bob", None]
    assert config.aliases.resolve("claude-haiku-4-5") == "local"
    assert config.origins.patterns == ("https://*.page.example",)
    assert config.served_names.patterns == ("models.example",)
    assert config.media_hosts.patterns == ("*.images.example",)
    (only,) = config.backends
    assert (only.backend.url, only.backend.engine) == ("https://gpu1:8000", "vllm")
    assert only.backend.headers == {"Authorization": "Bearer secret"}
    assert only.max_concurrent == 16
    assert only.fit.max_prompt_tokens == "auto"
    assert only.fit.first_token_target_s == 10
    assert not only.fit.enabled
    assert only.fit.tokenizer == tmp_path / "tokenizer"


WRONG = {
    "[gateway]\nport = 'x'\n" + BACKEND: (2, "gateway.port"),
    "[gateway]\nport = 70000\n" + BACKEND: (2, "gateway.port"),
    "[gateway]\nprot = 8000\n" + BACKEND: (2, "gateway.prot"),
    "[gatewya]\n" + BACKEND: (1, "gatewya"),
    "[gateway]\nmax_prompt_tokens = 'much'\n" + BACKEND: (2, "gateway.max_prompt_tokens"),
    "[gateway.keys]\nann = 'secret'\n" + BACKEND: (2, "gateway.keys.ann"),
    "[gateway.keys]\nann = 'env:NOT_SET'\n" + BACKEND: (2, "gateway.keys.ann"),
    BACKEND + "\n[[backend]]\nengine = 'vllm'\n": (4, "backend[1]"),
    BACKEND + "\n[[backend]]\nurl = 'gpu2:8000'\n": (5, "backend[1].url"),
    BACKEND + "\n[[backend]]\nurl = 'http://127.0.0.1:80001'\n": (5, "backend[1].url"),
    BACKEND + "\n[[backend]]\nurl = 'http://127.0.0.1:0'\n": (5, "backend[1].url"),
    BACKEND + "\n[[backend]]\nurl = 'http://[::1:8000'\n": (5, "backend[1].url"),
    "[gateway]\nbind = ''\n[gateway.keys]\nann = 'env:ANN'\n" + BACKEND: (2, "gateway.bind"),
    BACKEND + "engine = 'vlm'\n": (3, "backend[0].engine"),
    BACKEND + "max_concurrent = 0\n": (3, "backend[0].max_concurrent"),
    BACKEND + "key_env = 'NOT_SET'\n": (3, "backend[0].key_env"),
    BACKEND + "tokenizer = 'nowhere'\n": (3, "backend[0].tokenizer"),
    BACKEND + "urls = 5\n": (3, "backend[0].urls"),
}


@pytest.mark.parametrize(
    ("line", "drain_s"), [("", None), ("drain_s = 900", 900.0), ("drain_s = 0", 0.0)]
)
def test_running_answers_get_the_time_that_is_set(
    tmp_path: Path, line: str, drain_s: float | None
) -> None:
    text = f'[gateway]\n{line}\n[[backend]]\nurl = "http://gpu:8000"\n'
    assert load(written(tmp_path, text)).drain_s == drain_s


def test_negative_time_for_running_answers_is_refused(tmp_path: Path) -> None:
    text = '[gateway]\ndrain_s = -1\n[[backend]]\nurl = "http://gpu:8000"\n'
    with pytest.raises(UsageError, match="drain_s"):
        load(written(tmp_path, text))


@pytest.mark.parametrize("text", WRONG)
def test_error_names_its_line(tmp_path: Path, text: str) -> None:
    line, key = WRONG[text]
    with pytest.raises(UsageError) as refused:
        load(written(tmp_path, text), {"ANN": "a"})
    assert f"gateway.toml, line {line}: " in refused.value.what
    assert key in refused.value.why


def test_toml_that_can_not_be_read_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 2"):
        load(written(tmp_path, "[gateway]\nport = \n"))


def test_no_backend_and_no_file_explain_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no backend"):
        load(written(tmp_path, "[gateway]\n"))
    with pytest.raises(UsageError, match="can't be read"):
        load(tmp_path / "nowhere.toml")


def test_key_in_the_file_is_never_repeated(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        load(written(tmp_path, "[gateway.keys]\nann = 'my-real-key'\n" + BACKEND))
    assert "my-real-key" not in str(refused.value)


@pytest.mark.usefixtures("home")
def test_reload_of_an_impossible_port_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = written(tmp_path, BACKEND)
    service = Service(path)
    before = service._config
    written(tmp_path, BACKEND.replace("8001", "80001"))
    service._read_again()
    assert service._config is before


def test_value_of_the_wrong_kind_names_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        load(written(tmp_path, "[gateway]\nport = 'x'\n" + BACKEND))
    assert "The port" in refused.value.fix


def test_the_hash_of_an_empty_variable_is_refused(tmp_path: Path) -> None:
    text = f'{BACKEND}[gateway.keys]\nann = "{hash_of("")}"\n'
    with pytest.raises(UsageError, match="line 4: the value of ann is the SHA-256 of an empty"):
        load(written(tmp_path, text))


@pytest.mark.parametrize(
    ("setting", "pattern"),
    [
        ("allowed_hosts", "models.example.com:8000"),
        ("allowed_hosts", "https://models.example.com"),
        ("allowed_hosts", ""),
        ("allowed_hosts", "b\u00fccher.example"),
        ("allowed_media_hosts", "https://images.example.com/*"),
        ("allowed_origins", "vscode.dev"),
        ("allowed_origins", "https://vscode.dev/edit"),
    ],
)
def test_pattern_that_can_match_nothing_is_refused(
    tmp_path: Path, setting: str, pattern: str
) -> None:
    text = f'{BACKEND}[gateway]\n{setting} = ["*", "{pattern}"]\n'
    with pytest.raises(UsageError, match=r"line 4: '.* is not the ") as refused:
        load(written(tmp_path, text))
    assert "Write " in refused.value.fix


def test_each_holder_has_a_name_that_prints_and_a_key_of_their_own(tmp_path: Path) -> None:
    shared = f'{BACKEND}[gateway.keys]\nann = "env:K"\nbob = "{hash_of("k")}"\n'
    with pytest.raises(UsageError, match="line 5: bob has the same key as ann"):
        load(written(tmp_path, shared), {"K": "k"})
    for name in ("", r"a\nb", r"\u001b[2J"):
        text = f'{BACKEND}[gateway.keys]\n"{name}" = "{hash_of("k")}"\n'
        with pytest.raises(UsageError, match="is not the name of a holder"):
            load(written(tmp_path, text))


def test_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not the address of a server") as refused:
        load(written(tmp_path, "[[backend]]\nurl = 'http://me:hunter2@127.0.0.1:80'\n"))
    assert "hunter2" not in str(refused.value)
    assert "regex" not in str(refused.value)


@pytest.mark.parametrize("end", ["\n", "\r\n", "  ", "\n\n"])
def test_white_space_around_a_key_in_a_variable_is_no_part_of_it(tmp_path: Path, end: str) -> None:
    text = """
[gateway.keys]
bob = "env:BOB"

[[backend]]
url = "http://gpu:8000"
key_env = "GPU"
"""
    config = load(written(tmp_path, text), {"BOB": f"b{end}", "GPU": f"secret{end}"})
    assert _owner(config, "b") == "bob"
    (only,) = config.backends
    assert only.backend.headers == {"Authorization": "Bearer secret"}
    assert only.backend.refused_key == "it refuses the key in GPU"


@pytest.mark.parametrize("value", [" \n", "a\nb", "\u00fc"])
def test_variable_that_holds_no_key_is_named_with_its_line(tmp_path: Path, value: str) -> None:
    text = '[[backend]]\nurl = "http://gpu:8000"\nkey_env = "GPU"\n'
    with pytest.raises(UsageError, match="line 3: the variable GPU holds no key") as refused:
        load(written(tmp_path, text), {"GPU": value})
    assert value not in str(refused.value)


def test_limits_and_prices_are_read(tmp_path: Path) -> None:
    text = BACKEND + (
        '[[limit]]\nmodel = "qwen*"\nowner = "ann"\nper_owner = false\ntokens_per_day = 7\n'
        'cost_per_day = 2.5\n[[price]]\nmodel = "qwen*"\noutput_per_million = 3\n'
    )
    plan = load(written(tmp_path, text)).limits.of(Caller("ann"), "qwen3")
    assert [(c.kind, c.limit) for c in plan.counters] == [("tokens", 7), ("cost", 2_500_000)]
    assert plan.price.cost(5, 2) == 6


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ('[[limit]]\nmodel = "a"', "line 3: this section sets no limit"),
        ("[[limit]]\nrequests_per_minute = 0", "line 4: it must be a whole number of at least 1"),
        (
            "[[limit]]\ntokens_per_day = 10000000000000000",
            "line 4: it must be a whole number of at most 10000",
        ),
        ("[[limit]]\nrequests = 5", "The settings are: model, owner, per_owner"),
        (
            f"[[limit]]\ntokens_per_month = {10**30}",
            "line 4: it must be a whole number of at most 1000000000000000",
        ),
        ("[[limit]]\ncost_per_day = 1e-9", "line 4: it must be a number of at least"),
        ("[[limit]]\ncost_per_day = 5.0", "line 4: this limits money, and the file has no price"),
        (f"[gateway]\nusage_days = {10**12}", "line 4: it must be a whole number of at most 36500"),
        ("[[price]]\ninput_per_million = -1", "line 4: it must be a number of at least 0"),
        ("[[price]]\ninput_per_million = inf", "line 4: it must be a number of at most 1000000"),
        ("[[limit]]\ncost_per_day = nan", "line 4: it must be a number"),
        ('[gateway]\nlimits_store = "mysql://u@h"', "redis://127.0.0.1:6379/0"),
        ('[gateway]\nlimits_store = "redis://u:secret@h/0"', "line 4: the address of the"),
        ('[gateway]\nlimits_store = "redis://h/0?password=secret"', "holds a password"),
        ('[gateway]\nusage = "postgresql://u:secret@h/d"', "line 4: the address of the"),
        ('[gateway]\nlimits_store = "redis://h/0?db=secret"', "ValueError at db"),
        ('[gateway]\nlimits_store = "redis://h/0?bogus=secret"', "TypeError at bogus"),
        ('[gateway]\nlimits_store = "redis://h/0?protocol=9"', "has an option that its client"),
        ('[gateway]\nlimits_store = "redis://h:x/0"', "this is not the address of a store"),
        ('[gateway]\nlimits_store = "postgresql://h:1,i:99999/d"', "not the address of a store"),
        ('[gateway]\nlimits_store = "redis://"', "this is not the address of a store"),
        ('[gateway]\nlimits_store = "redis://[::1"', "this is not the address of a store"),
        ('[gateway]\nlimits_store = "env:STORE"', "the variable STORE is not set"),
    ],
)
def test_limits_with_a_mistake_name_their_line(tmp_path: Path, section: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(written(tmp_path, BACKEND + section), {})
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)


def test_address_of_the_limits_store_may_be_in_a_variable(tmp_path: Path) -> None:
    path = written(tmp_path, BACKEND + '[gateway]\nlimits_store = "env:STORE"\n')
    config = load(path, {"STORE": "redis://u:hunter2@h:1/0"})
    assert config.limits_store == "env:STORE"
    assert "hunter2" not in repr(config)


def test_limits_take_effect_with_the_file_that_has_them(home: Path, tmp_path: Path) -> None:
    gateway = Gateway()
    access = GatewayAccess(gateway, "127.0.0.1")
    for limit in (5, 7):
        text = f"{BACKEND}[[limit]]\nrequests_per_minute = {limit}\n"
        apply(gateway, access, load(written(tmp_path, text)))
        (counter,) = gateway.limiter.plans.of(ANYONE, "coder").counters
        assert counter.limit == limit


def test_files_of_a_certificate_lie_beside_the_configuration(tmp_path: Path) -> None:
    section = (
        '[tls]\ncertificate = "server.pem"\nkey = "/etc/tls/server.key"\nclient_ca = "ca.pem"\n'
    )
    tls = load(written(tmp_path, BACKEND + section)).tls
    assert tls == CertificateFiles(
        tmp_path / "server.pem", Path("/etc/tls/server.key"), tmp_path / "ca.pem", "required"
    )
    assert load(written(tmp_path, BACKEND)).tls is None


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ('[tls]\ncertificate = "a.pem"', "'key' is missing"),
        ('[tls]\ncertificate = "a"\nkey = "a\\u0000"', "no path holds a zero byte"),
        (
            '[tls]\ncertificate = "a"\nkey = "a"\nclient_certificates = "yes"',
            "line 6: 'yes' is not one of its values",
        ),
        ('[tls]\ncert = "a.pem"', "The settings are: certificate, key, client_ca"),
    ],
)
def test_a_mistake_about_tls_names_its_line(tmp_path: Path, section: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(written(tmp_path, BACKEND + section))
    assert problem in str(caught.value)


#: What is no path, no address and no number of any setting.
ODD = ('"~no-such-user/x"', '"\\u0000"', f'"{"x" * 5000}"', '"https://[::"', '["\\u0000"]', "1e400")
ODD_FILES = ("a = " + "[" * 5000, "a." * 5000 + "b = 1", "\0", "[gateway]\n" * 2)
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "[gateway]": gateway_config.GatewaySection,
    "[tls]\ncertificate = 'a'\nkey = 'b'": gateway_config.TlsSection,
    "[[backend]]\nurl = 'http://127.0.0.1:1'": gateway_config.BackendSection,
    "[[issuer]]\nurl = 'https://a.example'\naudience = 'x'": IssuerSection,
    "[proxy]\naddresses = ['10.0.0.5']": ProxySection,
}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.partition("\n")[0])
def test_no_value_ends_a_gateway_that_reads_it_again(tmp_path: Path, section: str) -> None:
    """Each is a mistake with a message, or is taken: any other error would end the gateway."""
    for name, _, _ in gateway_config.settings(SECTIONS[section]):
        kept = [line for line in section.splitlines() if not line.startswith(f"{name} =")]
        for odd in ODD:
            text = "\n".join((*kept, f"{name} = {odd}", BACKEND))
            with contextlib.suppress(UsageError):
                load(written(tmp_path, text), {})


@pytest.mark.parametrize("text", ODD_FILES, ids=lambda text: text[:9].strip())
def test_no_file_ends_a_gateway_that_reads_it_again(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="TOML"):
        load(written(tmp_path, text))
