"""What it costs a request to prove who sends it: a key, a token, a proxy's headers.

``python benchmarks/sign_on_cost.py`` calls the gateway's own stage, in rounds that alternate, and
prints its CPU time a request. Tokens are those of Keycloak in size (1.1 KB), from a real issuer on
loopback. A token that was checked before is looked up; a new one is checked; a forged one is
refused. Goals: a known token at most 10 us more than a key, a new one at most 500 us, a forged one
no more than a new one.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from tests.support.oidc_issuer import AUDIENCE, OidcIssuer, issuing

from stoker.access.api_keys import hash_of, keys_of
from stoker.access.sign_on.key_download import WELL_KNOWN
from stoker.access.sign_on.sign_on_rules import (
    Grant,
    Issuer,
    KeySource,
    SignOnRules,
    TrustedProxies,
)
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.middleware.authenticate import Authenticate
from stoker.gateway.request_context import RequestContext
from stoker.gateway.timings import DEFAULT_TIMINGS

REQUESTS = 50
ROUNDS = 9
KEY = "sk-stoker-7338713c-" + "x" * 43
#: What Keycloak puts into an access token beside what is asked for.
FILLER = {
    "typ": "Bearer",
    "azp": "stoker-cli",
    "sid": "0f6c8a2e-3b1d-4c52-9d5e-6f0a7b8c9d10",
    "acr": "1",
    "realm_access": {"roles": ["offline_access", "uma_authorization", "default-roles-team"]},
    "scope": "openid email profile",
    "preferred_username": "ann",
    "email": "ann@example.com",
    "groups": ["/staff", "/llm-users"],
}


async def answered(_: RequestContext) -> web.StreamResponse:
    """What the stages after it do, in no time."""
    return RESPONSE


async def cpu_us(stage: Authenticate, headers: Iterator[dict[str, str]], status: int) -> float:
    """Microseconds of CPU for each request."""
    transport: Any = SimpleNamespace(get_extra_info=lambda *_: ("127.0.0.1", 1), is_closing=bool)
    asked = [
        RequestContext(
            make_mocked_request("POST", "/v1/chat/completions", given, transport=transport)
        )
        for given in itertools.islice(headers, REQUESTS)
    ]
    began = time.process_time()
    for context in asked:
        response = await stage(context, answered)
        if response.status != status:
            raise RuntimeError(f"{response.status} in place of {status}")
    return (time.process_time() - began) / REQUESTS * 1e6


def cases(issuer: OidcIssuer) -> dict[str, tuple[Iterator[dict[str, str]], int]]:
    """The headers of each kind of request, and how it is answered."""

    def new(key: str, **head: Any) -> Iterator[dict[str, str]]:
        for number in itertools.count():
            token = issuer.token(key, jti=f"{number}", head=head or None, **FILLER)
            yield {"Authorization": f"Bearer {token}"}

    def forged() -> Iterator[dict[str, str]]:
        for given in new("RS256"):
            cut = given["Authorization"][:-8]
            yield {"Authorization": cut + "AAAAAAAA"}

    return {
        "a key": (itertools.repeat({"Authorization": f"Bearer {KEY}"}), 200),
        "a proxy's headers": (itertools.repeat({"X-Forwarded-User": "ann"}), 200),
        "a known token": (itertools.repeat(next(new("RS256"))), 200),
        "a new token, RS256": (new("RS256"), 200),
        "a new token, ES256": (new("ES256"), 200),
        "a forged token": (forged(), 401),
        "a token of an unknown key": (new("RS256", kid="x"), 401),
    }


async def main() -> None:
    """Measure and print."""
    state = GatewayState(keys_of({"ann": hash_of(KEY)}), DEFAULT_TIMINGS)
    async with issuing("RS256", "ES256") as issuer, aiohttp.ClientSession() as http:
        found = KeySource(discovery_url=issuer.url + WELL_KNOWN)
        rules = Issuer(issuer.url, (AUDIENCE,), found)
        proxies = TrustedProxies((ip_network("127.0.0.1"),))
        state.sign_on.use(SignOnRules((rules,), proxies, (Grant(group="x"), Grant())))
        keeping = asyncio.create_task(state.sign_on.keep(http))
        await asyncio.sleep(0.5)  # its keys are on their way
        stage = Authenticate(state)
        kinds = cases(issuer)
        times: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(ROUNDS):
            for name, (headers, status) in kinds.items():
                times[name].append(await cpu_us(stage, headers, status))
        keeping.cancel()
        size = len(next(kinds["a known token"][0])["Authorization"])
    print(f"a token has {size} characters; the issuer was asked {len(issuer.asked)} times")
    print(f"{'':32} us a request")
    for name, measured in times.items():
        print(f"{name:32} {statistics.median(measured):12.1f}")


RESPONSE = web.Response()

if __name__ == "__main__":
    asyncio.run(main())
