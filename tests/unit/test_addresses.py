"""What may be listened on, what only this machine reaches, and how an endpoint is written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stoker import network_addresses

ROOT = Path(__file__).parents[2]
EXTENSIONS = (ROOT / "extension/test/servers/endpoint.test.ts").read_text(encoding="utf-8")
#: Texts and what the extension makes of them, from its own test.
ROWS = re.findall(r"^  \[(\"[^\"]*\"|'[^']*'), \"(.*?)\"\],$", EXTENSIONS, re.MULTILINE)
#: Texts that it refuses.
REFUSED = [
    json.loads(text)
    for texts in re.findall(r'^  "[^"]+": \[(.*?)\],$', EXTENSIONS, re.MULTILINE | re.DOTALL)
    for text in re.findall(r'"[^"]*"', texts)
]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "0.0.0.0", "::1", "::", "localhost", "gpu-1", "gpu1.example.com"]
)
def test_address_or_host_name_can_be_listened_on(host: str) -> None:
    assert network_addresses.is_bindable(host)


@pytest.mark.parametrize(
    "host", ["", " ", "0", "0x0", "0.0", "127.1", "[::1]", "127.0.0.1:80", "http://x", "a_b", "-a"]
)
def test_what_the_system_would_read_as_every_address_or_not_at_all_is_none(host: str) -> None:
    assert not network_addresses.is_bindable(host)


def test_loopback_is_what_only_this_machine_reaches() -> None:
    inside = ("127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost", "LOCALHOST")
    outside = ("", "0.0.0.0", "::", "192.168.1.2", "gpu1", "127.example.com")
    assert all(network_addresses.is_loopback(host) for host in inside)
    assert not any(network_addresses.is_loopback(host) for host in outside)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("::", "http://[::1]:8000"),
        ("gpu1", "http://gpu1:8000"),
    ],
)
def test_endpoint_is_a_url_that_programs_here_can_use(host: str, url: str) -> None:
    assert network_addresses.endpoint(host, 8000) == url
    assert network_addresses.is_url(url)


@pytest.mark.parametrize(
    "text", ["http://a:80001", "http://a:0", "http://a:x", "http://[::1:80", "ftp://a", "a:80", ""]
)
def test_impossible_url_is_distinguished_from_one_that_only_does_not_answer(text: str) -> None:
    assert not network_addresses.is_url(text)


def test_the_extensions_tables_were_found() -> None:
    assert len(ROWS) > 15
    assert len(REFUSED) > 30


@pytest.mark.parametrize(("quoted", "base"), ROWS)
def test_an_address_means_what_it_means_to_the_extension(quoted: str, base: str) -> None:
    assert network_addresses.base_url(quoted[1:-1]) == base


@pytest.mark.parametrize("text", ["", "  ", "ftp://host", "host:", *REFUSED])
def test_what_the_extension_refuses_is_no_address(text: str) -> None:
    assert network_addresses.base_url(text) is None


def test_a_name_and_a_password_are_left_out() -> None:
    assert network_addresses.base_url("https://me:p%40ss@host:1/v1") == "https://host:1"


@pytest.mark.parametrize(
    ("host", "nearby"),
    [
        ("gpu-box", True),
        ("10.0.0.5", True),
        ("nas.local", True),
        ("localhost", False),
        ("127.0.0.1", False),
        ("api.example.com", False),
        ("8.8.8.8", False),
    ],
)
def test_a_machine_of_the_same_network_is_distinguished_from_others(
    host: str, nearby: bool
) -> None:
    assert network_addresses.is_nearby(host) is nearby


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://127.0.0.1:8777", "http://localhost:8777", True),
        ("http://[::1]:8777/", "http://127.0.0.1:8777", True),
        ("https://box", "https://box:443", True),
        ("http://127.0.0.1:8777", "http://127.0.0.1:8778", False),
        ("http://127.0.0.1:8777", "https://127.0.0.1:8777", False),
        ("http://box/one", "http://box/two", False),
        ("http://[broken", "http://box", False),
    ],
)
def test_two_addresses_of_one_server_are_the_same(one: str, other: str, same: bool) -> None:
    assert network_addresses.same_server(one, other) is same
