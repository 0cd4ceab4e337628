"""The sections of sign-on in the gateway's file: what they mean, and what mistakes are called."""

from __future__ import annotations

import builtins
from ipaddress import ip_network
from pathlib import Path

import pytest
from tests.support.oidc_issuer import private_key, public_pem

from stoker.access.caller import CallerLimits
from stoker.access.sign_on.sign_on_rules import SignOnRules
from stoker.errors import UsageError
from stoker.gateway.gateway_config import load, load_sign_on

BACKEND = '[[backend]]\nurl = "http://127.0.0.1:1"\n'
ISSUER = '[[issuer]]\nurl = "https://sso.example/realms/team"\naudience = "stoker"\n'
PROXY = '[proxy]\naddresses = ["10.0.0.5"]\n'


OTHER = ISSUER.replace("sso.example", "ci.example")


def rules(tmp_path: Path, text: str) -> SignOnRules:
    path = tmp_path / "gateway.toml"
    path.write_text(BACKEND + text)
    return load(path, {}).sign_on


def test_without_the_sections_no_one_signs_on(tmp_path: Path) -> None:
    assert not rules(tmp_path, "").required


def test_an_issuer_needs_its_address_and_an_audience(tmp_path: Path) -> None:
    (issuer,) = rules(tmp_path, ISSUER).issuers
    assert issuer.name == "https://sso.example/realms/team"
    assert issuer.audiences == ("stoker",)
    assert issuer.algorithms == ("RS256", "ES256")
    assert (issuer.owner_claim, issuer.groups_claim) == ("sub", "groups")
    found_at = issuer.name + "/.well-known/openid-configuration"
    assert issuer.keys_from.discovery_url == found_at


def test_every_setting_of_an_issuer_is_taken(tmp_path: Path) -> None:
    more = (
        'algorithms = ["PS512"]\nowner_claim = "email"\ngroups_claim = "realm_access.roles"\n'
        'prefix = "kc:"\nleeway_s = 5\njwks_url = "https://sso.example/keys"\n'
        "stale_if_error_s = 60\n"
    )
    (issuer,) = rules(tmp_path, ISSUER.replace('"stoker"', '["a", "b"]') + more).issuers
    assert (issuer.audiences, issuer.algorithms) == (("a", "b"), ("PS512",))
    assert (issuer.owner_claim, issuer.groups_claim) == ("email", "realm_access.roles")
    assert (issuer.prefix, issuer.leeway_s) == ("kc:", 5)
    assert issuer.keys_from.jwks_url == "https://sso.example/keys"
    assert issuer.keys_from.discovery_url == ""
    assert issuer.keys_from.stale_if_error_s == 60


def test_a_file_of_keys_is_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "issuer.pem").write_bytes(public_pem(private_key("ES256")))
    (issuer,) = rules(tmp_path, ISSUER + 'key_file = "issuer.pem"\n').issuers
    assert issuer.keys_from.file == tmp_path / "issuer.pem"


def test_grants_and_proxies_are_taken_in_their_order(tmp_path: Path) -> None:
    text = PROXY + (
        '[[grant]]\nowner = "mallory"\ndeny = true\n'
        '[[grant]]\ngroup = "admins"\nrole = "admin"\n'
        '[[grant]]\nmodels = ["qwen*"]\ntokens_per_day = 1000\n'
    )
    found = rules(tmp_path, text)
    assert found.proxies is not None
    assert found.proxies.networks == (ip_network("10.0.0.5"),)
    denied, admins, others = found.grants
    assert (denied.owner, denied.deny) == ("mallory", True)
    assert (admins.group, admins.role) == ("admins", "admin")
    assert (others.models, others.limits) == (("qwen*",), CallerLimits(tokens_per_day=1000))


MISTAKES = {
    "no audience": (ISSUER.replace('audience = "stoker"\n', ""), "audience", 3),
    "an empty audience": (ISSUER.replace('"stoker"', '""'), "audience", 5),
    "no audiences": (ISSUER.replace('"stoker"', "[]"), "audience", 5),
    "HMAC": (ISSUER + 'algorithms = ["HS256"]\n', "algorithms", 6),
    "none": (ISSUER + 'algorithms = ["none"]\n', "algorithms", 6),
    "no algorithm": (ISSUER + "algorithms = []\n", "algorithms", 6),
    "no TLS": (ISSUER.replace("https://sso", "http://sso"), "https", 4),
    "no address": (ISSUER.replace("https://sso.example/realms/team", "team"), "https", 4),
    "keys without TLS": (ISSUER + 'jwks_url = "http://sso.example/"\n', "https", 6),
    "keys with a password": (ISSUER + 'jwks_url = "https://a:b@sso.example/"\n', "https", 6),
    "no file of keys": (ISSUER + 'key_file = "missing"\n', "No such file", 6),
    "two sources": (ISSUER + 'jwks_url = "https://a"\nkey_file = "k"\n', "key_file", 6),
    "no certificates": (ISSUER + 'ca_file = "gateway.toml"\n', "no certificates", 6),
    "the same issuer twice": (ISSUER + ISSUER, "same issuer", 7),
    "two issuers without a prefix": (ISSUER + OTHER, "same prefix", 6),
    "two issuers with one prefix": (
        ISSUER + 'prefix = "a:"\n' + OTHER + 'prefix = "a:"\n',
        "same prefix",
        10,
    ),
    "one bracket": (ISSUER.replace("[[issuer]]", "[issuer]"), "it must be a list", 3),
    "an endless leeway": (ISSUER + "leeway_s = 1e9\n", "600", 6),
    "an unknown setting": (ISSUER + "secret = 1\n", "not a setting", 6),
    "a grant to no one": ("[[grant]]\n", "no one can", 3),
    "money without a price": (PROXY + "[[grant]]\ncost_per_day = 1.0\n", "no price", 6),
    "another role": (PROXY + '[[grant]]\nrole = "root"\n', "root", 6),
    "no proxies": ("[proxy]\naddresses = []\n", "it is empty", 4),
    "a proxy by its name": ('[proxy]\naddresses = ["proxy"]\n', "IPv4", 4),
    "a network with bits of a host": ('[proxy]\naddresses = ["10.0.0.5/8"]\n', "host bits", 4),
    "every address": ('[proxy]\naddresses = ["0.0.0.0/0"]\n', "every address", 4),
    "every address of IPv6": ('[proxy]\naddresses = ["::/0"]\n', "every address", 4),
    "a header of keys": (PROXY + 'owner_header = "Authorization"\n', "not a header", 5),
    "a header with a blank": (PROXY + 'groups_header = "X Groups"\n', "not a header", 5),
}


@pytest.mark.parametrize(("text", "part", "line"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, part: str, line: int) -> None:
    with pytest.raises(UsageError) as error:
        rules(tmp_path, text)
    assert part in str(error.value)
    assert f"gateway.toml, line {line}: " in str(error.value)
    assert error.value.fix


def test_what_to_write_is_printed_without_markdown(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        rules(tmp_path, PROXY + '[[grant]]\nrole = "root"\n')
    assert "](" not in error.value.fix


def test_without_its_package_the_message_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"stoker\[teams\]"):
        rules(tmp_path, ISSUER)


def test_only_keys_need_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_jwt(name: str, *rest: object) -> object:
        assert name.partition(".")[0] not in ("jwt", "cryptography")
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_jwt)
    assert rules(tmp_path, PROXY).required


def test_what_stoker_up_runs_has_a_file_with_these_sections_alone(tmp_path: Path) -> None:
    path = tmp_path / "sign-on.toml"
    path.write_text(ISSUER)
    assert load_sign_on(path).required
    path.write_text(ISSUER + BACKEND)
    with pytest.raises(UsageError, match=r"'backend' is not a setting.*are: issuer, proxy, grant"):
        load_sign_on(path)
