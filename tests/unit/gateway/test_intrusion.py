"""Attempts to get in without leave, to get further than the gateway, or to bring it down.

Each is sent as bytes over a socket. None may reach the engine, read what is served, make the
gateway fail, or leave anything behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import logging
import re
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

import orjson
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.oidc_issuer import OidcIssuer, issuing
from tests.unit.gateway.backends import MODEL, Front, answer, gateway_to
from tests.unit.gateway.test_sign_on import WRONG, forged, trusting

from stoker.access.api_keys import hash_of, keys_of
from stoker.access.sign_on.sign_on_rules import SignOnRules, TrustedProxies
from stoker.gateway import GatewayTimings
from stoker.gateway.api.path_rules import BACKEND_PATHS
from stoker.gateway.dashboard.sign_in_limit import MOST_TRIES

KEY = "stk-Ann-7f3a"
BEARER = f"Authorization: Bearer {KEY}"
CHAT = "/v1/chat/completions"
BODY = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hi"}]})
#: What a client learns of an error is short: a slow answer here is a hang.
_WITHIN_S = 5.0
#: What follows an answer follows at once.
_REST_S = 0.05


@dataclass
class Engine:
    """A server that takes every path, and notes each head that it gets."""

    heads: list[bytes] = field(default_factory=list)
    port: int = 0

    @property
    def paths(self) -> set[str]:
        """The targets of all requests."""
        return {head.split()[1].decode("latin-1") for head in self.heads}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a chat to whatever comes."""
        choice = {"index": 0, "message": {"role": "assistant", "content": "served"}}
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                (length,) = (
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                await reader.readexactly(length)
                writer.write(answer(orjson.dumps({"choices": [choice]})))
        writer.close()


@contextlib.asynccontextmanager
async def guarded() -> AsyncIterator[tuple[Front, Engine]]:
    """A gateway with Ann's key, before an engine that takes every path."""
    engine = Engine()
    server = await asyncio.start_server(engine.serve, "127.0.0.1", 0)
    engine.port = server.sockets[0].getsockname()[1]
    keys = keys_of({"ann": hash_of(KEY)})
    timings = GatewayTimings(head_s=0.1, body_s=0.1)  # those that wait for more are not waited for
    async with gateway_to(f"http://127.0.0.1:{engine.port}", keys=keys, timings=timings) as front:
        yield front, engine
    server.close()


def asked(*headers: str, method: str = "POST", path: str = CHAT, body: bytes = BODY) -> bytes:
    """A request with these headers, each as it is."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    lines += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body


def read(path: str, *headers: str, method: str = "GET") -> bytes:
    """A request for a path, without a body."""
    return asked(*headers, method=method, path=path, body=b"")


def framed(*headers: str, body: bytes) -> bytes:
    """A request of Ann's whose length only these headers tell."""
    lines = [f"POST {CHAT} HTTP/1.1", "Host: localhost", BEARER, *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


async def answered(front: Front, sent: bytes) -> bytes:
    """All that comes back until the gateway hangs up, or has no more to say."""
    reader, writer = await front.connect()
    back = b""
    with contextlib.suppress(ConnectionError):
        writer.write(sent)
        back = await asyncio.wait_for(reader.read(65536), _WITHIN_S)
        with contextlib.suppress(asyncio.TimeoutError):
            while data := await asyncio.wait_for(reader.read(65536), _REST_S):
                back += data
    writer.transport.abort()
    return back


def statuses(answers: bytes) -> list[int]:
    """The status of each answer."""
    return [int(status) for status in re.findall(rb"HTTP/[01]\.\d (\d{3}) ", answers)]


async def _still_serves(front: Front) -> None:
    assert b"served" in await answered(front, asked(BEARER))


NO_KEY: Mapping[str, bytes] = {
    "no key": asked(),
    "wrong key": asked("Authorization: Bearer stk-Bob-0000"),
    "empty key": asked("Authorization: Bearer "),
    "no scheme": asked(f"Authorization: {KEY}"),
    "another scheme": asked(f"Authorization: Basic {KEY}"),
    "key of another case": asked(f"Authorization: Bearer {KEY.upper()}"),
    "first part of the key": asked(f"Authorization: Bearer {KEY[:-1]}"),
    "key and more": asked(f"Authorization: Bearer {KEY}x"),
    "key with a null": asked(f"Authorization: Bearer {KEY}\0"),
    "key in two lines": asked(f"Authorization: Bearer\r\n {KEY}x"),
    "hash of the key": asked(f"Authorization: Bearer {hash_of(KEY)}"),
    "lookalike letters": asked(
        "Authorization: Bearer stk-\u0391nn-7f3a".encode().decode("latin-1")
    ),
    "broken UTF-8": asked("Authorization: Bearer \xff\xfe"),
    "key in the query": asked(path=f"{CHAT}?key={KEY}&api_key={KEY}&access_token={KEY}"),
    "key in a cookie": asked(f"Cookie: Authorization=Bearer {KEY}; key={KEY}"),
    "key in the address": read(f"http://ann:{KEY}@localhost/v1/models"),
    "key in the body": asked(body=BODY[:-1] + b',"api_key":"%b"}' % KEY.encode()),
    "wrong x-api-key": asked("x-api-key: nothing"),
    "two keys, the second wrong": asked(BEARER, "x-api-key: nothing"),
    "two keys, the first wrong": asked("Authorization: Bearer nothing", f"x-api-key: {KEY}"),
    "two headers, the second wrong": asked(BEARER, "Authorization: Bearer nothing"),
    "two headers, the first wrong": asked("Authorization: Bearer nothing", BEARER),
    "two x-api-key": asked(f"x-api-key: {KEY}", "x-api-key: nothing"),
    "name of the owner": asked("x-forwarded-user: ann", "Remote-User: ann"),
    "address of this machine": asked("X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1"),
    "an open path in a header": asked("X-Original-URL: /health", "X-Rewrite-URL: /health"),
    "another method in a header": asked("X-HTTP-Method-Override: OPTIONS"),
    "preflight in a POST": asked("Access-Control-Request-Method: POST"),
    "models": read("/v1/models"),
    "one model": read(f"/v1/models/{MODEL}"),
    "metrics": read("/metrics"),
    "info": read("/info"),
    "HEAD": read("/v1/models", method="HEAD"),
    "an open path before it": read("/health/../v1/models"),
    "an open path before it, encoded": read("/health/%2e%2e/v1/models"),
    "slashes encoded": read("/v1%2fmodels"),
    "two slashes": read("//v1/models"),
    "slash at the end": read("/v1/models/"),
    "dot": read("/./v1/models"),
    "upper case": read("/V1/MODELS"),
    "null in the path": read("/v1/models%00"),
    "parameter": read("/health;/v1/models"),
    "query with an open path": read("/v1/models?/health"),
    "fragment with an open path": read("/v1/models#/health"),
    "backslash": read("/health\\..\\v1\\models"),
    "encoded twice": read("/health%252f..%252fv1/models"),
    "absolute address": read("http://localhost/v1/models"),
    "absolute address of another host": read("http://evil.example/v1/models"),
    "CONNECT": read("localhost:80", method="CONNECT"),
    "TRACE": read("/v1/models", BEARER.replace("stk", "x"), method="TRACE"),
    "PUT": asked(method="PUT"),
    "unknown method": read("/v1/models", method="PROPFIND"),
    "web socket": read("/v1/realtime", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
    "HTTP/2 by upgrade": read("/v1/models", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /v1/models\r\n\r\n",
    "TLS": bytes.fromhex("16030100050100000100") * 20,
    "zeros": bytes(4096),
    "50 in one go": read("/v1/models").replace(b"Connection: close\r\n", b"") * 50,
}

CHUNKED = "Transfer-Encoding: chunked"
INNER = (
    f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n{BEARER.replace('stk', 'x')}\r\n\r\n".encode()
)
WHOLE = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
SMUGGLED: Mapping[str, bytes] = {
    "length and chunks": framed(f"Content-Length: {len(BODY)}", CHUNKED, body=WHOLE + INNER),
    "chunks and length": framed(CHUNKED, f"Content-Length: {len(BODY)}", body=WHOLE + INNER),
    "length of nothing and chunks": framed("Content-Length: 0", CHUNKED, body=WHOLE),
    "two lengths": framed("Content-Length: 4", f"Content-Length: {len(BODY)}", body=BODY),
    "list of lengths": framed(f"Content-Length: {len(BODY)}, 4", body=BODY),
    "negative length": framed("Content-Length: -5", body=BODY),
    "length with a sign": framed(f"Content-Length: +{len(BODY)}", body=BODY),
    "length in hex": framed(f"Content-Length: {len(BODY):#x}", body=BODY),
    "length with a low line": framed("Content-Length: 1_0", body=BODY),
    "length beyond 64 bits": framed(f"Content-Length: {2**64 + len(BODY)}", body=BODY),
    "blank before the colon": framed(f"Content-Length : {len(BODY)}", body=BODY),
    "blank before the colon of chunks": framed("Transfer-Encoding : chunked", body=WHOLE),
    "header over two lines": framed("Transfer-Encoding:\r\n chunked", body=WHOLE + INNER),
    "unknown encoding": framed("Transfer-Encoding: xchunked", body=WHOLE),
    "chunks not last": framed("Transfer-Encoding: chunked, identity", body=WHOLE),
    "two encodings": framed(CHUNKED, "Transfer-Encoding: identity", body=WHOLE),
    "control character": framed("Transfer-Encoding: \x0bchunked", body=WHOLE),
    "bare carriage return": framed(f"X: a\rContent-Length: {len(BODY)}", body=BODY),
    "null in a name": framed(f"Content-Le\0ngth: {len(BODY)}", body=BODY),
    "header without a colon": framed("nonsense", f"Content-Length: {len(BODY)}", body=BODY),
    "size of a chunk with a sign": framed(CHUNKED, body=b"+" + WHOLE),
    "size of a chunk in C": framed(CHUNKED, body=b"0x" + WHOLE),
    "size of a chunk beyond 64 bits": framed(CHUNKED, body=b"1" + b"0" * 16 + b"\r\n" + BODY),
    "negative chunk": framed(CHUNKED, body=b"-1\r\n" + BODY),
    "line ends within the chunk": framed(CHUNKED, body=WHOLE.replace(b"\r\n", b"\n")),
    "chunk longer than told": framed(CHUNKED, body=b"2\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "key in a trailer": framed(CHUNKED, body=WHOLE[:-2] + BEARER.encode() + b"\r\n\r\n").replace(
        BEARER.encode() + b"\r\n", b"", 1
    ),
    "version of the future": framed(f"Content-Length: {len(BODY)}", body=BODY).replace(
        b"HTTP/1.1", b"HTTP/9.9"
    ),
}

OVERSIZED: Mapping[str, bytes] = {
    "path": read("/" + "a" * 100_000, BEARER),
    "header": read("/v1/models", BEARER, "X: " + "a" * 100_000),
    "many headers": read("/v1/models", BEARER, *(f"x-{n}: y" for n in range(5000))),
    "method": b"A" * 100_000,
    "extension of a chunk": framed(CHUNKED, body=b"2;" + b"a" * 100_000 + b"\r\n"),
    "trailers": framed(CHUNKED, body=WHOLE[:-2] + b"x: y\r\n" * 50_000),
    "body": framed(f"Content-Length: {10**12}", body=b" " * 1000),
    "gzip": asked(BEARER, "Content-Encoding: gzip", body=gzip.compress(bytes(17_000_000))),
    "gzip of gzip": asked(
        BEARER, "Content-Encoding: gzip, gzip", body=gzip.compress(gzip.compress(bytes(10**7)))
    ),
    "deflate": asked(BEARER, "Content-Encoding: deflate", body=zlib.compress(bytes(17_000_000))),
    "levels": asked(BEARER, body=b'{"messages":' + b"[" * 200_000),
    "number": asked(BEARER, body=BODY[:-1] + b',"seed":' + b"9" * 100_000 + b"}"),
}

ENDLESS_HEADS = ("path", "header", "many headers", "method", "trailers")

FURTHER: Mapping[str, bytes] = {
    f"{method} {path}": asked(BEARER, method=method, path=path)
    for method, path in (
        ("POST", "/invocations"),
        ("POST", "/sleep"),
        ("POST", "/v1/load_lora_adapter"),
        ("POST", "/slots/0?action=erase"),
        ("POST", "/completion"),
        ("POST", "/props"),
        ("POST", "/api/pull"),
        ("GET", "/slots"),
        ("GET", "/server_info"),
        ("GET", "/v1/models/../../slots"),
        ("GET", "/v1/models/%2e%2e%2f%2e%2e%2fslots"),
        ("POST", "/v1/chat/completions/../../../slots"),
        ("POST", "/v1/chat/completions/%2e%2e/%2e%2e/slots"),
        ("POST", "/v1/chat/completions%2f..%2f..%2fslots"),
        ("POST", "/v1/chat%2fcompletions"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/v1/chat/completions%0d%0aX:%20y"),
        ("POST", "/v1/chat/completions%20HTTP/1.1%0d%0a%0d%0aGET%20/slots"),
        ("POST", "/v1/chat/completions;/slots"),
        ("POST", "/v1/chat\\completions"),
        ("POST", "/v1/chat/completions%00/slots"),
        ("POST", "http://localhost/slots"),
        ("POST", "http://169.254.169.254/v1/chat/completions"),
        ("POST", "/v1/chat/completions?path=/slots"),
        ("POST", "/v1/chat/completions#/slots"),
        ("DELETE", "/v1/chat/completions"),
    )
} | {
    "path in the body": asked(BEARER, body=BODY[:-1] + b',"path":"/slots","url":"http://a"}'),
    "unknown compression": asked(BEARER, "Content-Encoding: compress"),
    "line end in a session": asked(BEARER, "x-session-id: a\rX-Evil: 1"),
    "line feed in a session": asked(BEARER, "x-session-id: a\nX-Evil: 1"),
    "line ends of Unicode": asked(BEARER, "x-session-id: a\xe2\x80\xa8b\xc2\x85X-Evil: 1"),
    "broken UTF-8 in a session": asked(BEARER, "x-session-id: \xff"),
    "letters beyond Latin": asked(BEARER, "session_id: \xe4\xb8\xad"),
    "line end in the model": asked(BEARER, body=BODY.replace(b"coder", b"coder\\r\\nX-Evil: 1")),
    "header that is not sent on": asked(BEARER, "X-Evil: 1", "Cookie: a=b", "Forwarded: for=a"),
}


SIGN_IN = "/ui/sign-in"
FORM = "Content-Type: application/x-www-form-urlencoded"


def tried(*headers: str, body: bytes = b"key=nothing", path: str = SIGN_IN) -> bytes:
    """A try to sign in to the dashboard."""
    return asked(FORM, *headers, path=path, body=body)


def cookie(value: str) -> str:
    """A session of this value, whatever the port of the gateway is."""
    return "Cookie: " + "; ".join(f"stoker_session_{port}={value}" for port in ("8000", "PORT"))


DASHBOARD: Mapping[str, bytes] = {
    "no session": read("/ui"),
    "numbers": read("/ui/live"),
    "owners": read("/ui/owners"),
    "HEAD": read("/ui", method="HEAD"),
    "POST": asked(path="/ui"),
    "DELETE": read("/ui/owners", method="DELETE"),
    "PUT": asked(path="/ui/live", method="PUT"),
    "another path": read("/ui/admin"),
    "a template": read("/ui/templates/home.html"),
    "a file of the disk": read("/ui/../../../../etc/passwd"),
    "a file of the disk, encoded": read("/ui/%2e%2e%2f%2e%2e%2fetc%2fpasswd"),
    "a file beside the style": read("/ui/dashboard.css/../dashboard.py"),
    "slash encoded": read("/ui%2flive"),
    "slash at the end": read("/ui/live/"),
    "two slashes": read("//ui/live"),
    "two slashes inside": read("/ui//live"),
    "upper case": read("/UI/LIVE"),
    "an open path before it": read("/ui/sign-in/../live"),
    "an open path before it, encoded": read("/ui/sign-in/%2e%2e/live"),
    "parameter": read("/ui/live;/ui/sign-in"),
    "null": read("/ui/live%00/ui/sign-in"),
    "fragment": read("/ui/live#/ui/sign-in"),
    "absolute address": read("http://localhost/ui/live"),
    "key in the address": read(f"/ui?key={KEY}"),
    "key in a cookie": read("/ui", cookie(KEY)),
    "hash of the key in a cookie": read("/ui", cookie(hash_of(KEY))),
    "empty cookie": read("/ui", cookie("")),
    "guessed cookie": read("/ui/live", cookie("A" * 43)),
    "long cookie": read("/ui/live", cookie("A" * 7000)),
    "cookie with quotes": read("/ui/live", cookie('"\\""')),
    "cookie beyond ASCII": read("/ui/live", cookie("\xff\xfe")),
    "fifty cookies": read("/ui/live", *[cookie(f"a{n}") for n in range(50)]),
    "cookie in two headers": read("/ui/live", cookie("a"), cookie("b")),
    "role in a header": read("/ui", "X-Role: admin", "X-Forwarded-User: admin"),
    "a user's key": read("/ui", BEARER),
    "a user's key for the numbers": read("/ui/live", BEARER),
    "a user's key for the owners": read("/ui/owners", BEARER),
    "sign-in by a user's key": tried(body=f"key={KEY}".encode()),
    "sign-in with nothing": tried(body=b"key="),
    "sign-in without a field": tried(body=b"a=b"),
    "sign-in by a hash": tried(body=f"key={hash_of(KEY)}".encode()),
    "sign-in with a key in the query": tried(path=f"{SIGN_IN}?key={KEY}"),
    "sign-in by GET": read(f"{SIGN_IN}?key={KEY}"),
    "sign-in as JSON": asked(path=SIGN_IN, body=b'{"key":"x"}'),
    "sign-in by a file": asked(
        "Content-Type: multipart/form-data; boundary=b",
        path=SIGN_IN,
        body=b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nx\r\n--b--\r\n',
    ),
    "sign-in with SQL": tried(body=b"key=' OR 1=1 --"),
    "sign-in with a template": tried(body=b"key={{7*7}}{% debug %}"),
    "sign-in with broken UTF-8": tried(body=b"key=%ff%fe"),
    "sign-in with a null": tried(body=b"key=%00"),
    "sign-in with two keys": tried(body=f"key=x&key={KEY}".encode()),
    "sign-in with many fields": tried(body=b"key=x&" * 500),
    "sign-in of 20 KB": tried(body=b"key=" + b"a" * 20_000),
    "sign-in in gzip": tried("Content-Encoding: gzip", body=gzip.compress(bytes(10**6))),
    "sign-in by a method in a header": read(SIGN_IN, "X-HTTP-Method-Override: POST"),
    "sign-in of another page": tried("Origin: https://evil.example"),
    "sign-in of no page": tried("Origin: null"),
    "sign-in of another port": tried("Sec-Fetch-Site: same-site"),
    "sign-in in another host's name": tried("X-Forwarded-Host: evil.example"),
    "sign-out of another page": tried("Sec-Fetch-Site: cross-site", path="/ui/sign-out"),
    "line ends in the language": read("/ui/sign-in?language=de%0d%0aX-Evil:%201"),
    "another place in the language": read("/ui/sign-in?language=//evil.example"),
    "script in the language": read("/ui/sign-in", "Accept-Language: <script>alert(1)</script>"),
    "script in the host": read("/ui/sign-in", "X-Forwarded-Proto: javascript"),
}


async def test_no_browser_sees_the_dashboard_without_a_key_of_its_role(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    attempts = list(DASHBOARD.items())
    for first in range(0, len(attempts), MOST_TRIES - 1):  # before the limit refuses all alike
        async with guarded() as (front, engine):
            for name, sent in attempts[first : first + MOST_TRIES - 1]:
                back = await answered(front, sent.replace(b"PORT", str(front.port).encode()))
                _reveals_nothing(name, back)
            assert not engine.heads
            await _still_serves(front)
    assert KEY not in caplog.text


def _reveals_nothing(name: str, back: bytes) -> None:
    """Only the page that asks for a key is answered, and no session begins."""
    seen = statuses(back)
    is_sign_in = seen == [200] and b'action="/ui/sign-in"' in back
    refused = [status == 303 or (400 <= status < 500 and status != 429) for status in seen]
    assert is_sign_in or (refused and all(refused)), (name, back[:300])
    assert MODEL.encode() not in back, name
    assert KEY.encode() not in back, name
    assert b"evil" not in back.partition(b"\r\n\r\n")[0].lower(), name
    assert b"alert(1)" not in back, name
    assert b"root:" not in back, name
    assert not re.search(rb"stoker_session_\d+=[^;\s\"]", back), name


async def test_guesses_at_the_sign_in_are_slowed_down_and_leave_nothing() -> None:
    async with guarded() as (front, _):
        seen = [statuses(await answered(front, tried(body=b"key=%d" % n))) for n in range(30)]
        assert seen == [[401]] * 10 + [[429]] * 20
        reasons = front.gateway.refused_entries.take(all_of_them=True)
        assert [(e.reason, count) for e, count in reasons.items()] == [("wrong_key", 10)]
        await _still_serves(front)


async def test_without_a_key_none_of_them_gets_in(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with guarded() as (front, engine):
        for name, sent in NO_KEY.items():
            back = await answered(front, sent)
            assert not engine.heads, name
            assert all(400 <= status < 500 for status in statuses(back)), (name, back)
            assert back.startswith((b"HTTP/", b'{"error"')), name
            assert MODEL.encode() not in back, name
            assert b"stoker_requests" not in back, name
        assert len(statuses(back)) == 50
        await _still_serves(front)
    assert KEY not in caplog.text
    assert hash_of(KEY) not in caplog.text


async def test_with_sign_on_no_forged_token_and_no_strange_proxy_gets_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with issuing() as issuer, guarded() as (front, engine):
        elsewhere = TrustedProxies((ip_network("10.0.0.5"),))
        front.gateway.use_sign_on(SignOnRules((trusting(issuer),), elsewhere))
        attempts = dict(signed_on(issuer))
        for name, sent in {**NO_KEY, **attempts}.items():
            back = await answered(front, sent)
            assert not engine.heads, name
            assert all(400 <= status < 500 for status in statuses(back)), (name, back)
            assert MODEL.encode() not in back, name
        assert len(attempts) > 70
        assert len(issuer.asked) <= 2  # 40 names of keys, and one question
        await _still_serves(front)
        await answered(front, asked(f"Authorization: Bearer {issuer.token()}"))
        assert len(engine.heads) == 2
        assert not [head for head in engine.heads if b"eyJ" in head or b"orwarded" in head]
    assert "eyJ" not in caplog.text


def signed_on(issuer: OidcIssuer) -> Iterator[tuple[str, bytes]]:
    """Attempts with tokens and with the headers of a proxy."""
    for name, token in forged(issuer).items():
        yield f"forged: {name}", asked(f"Authorization: Bearer {token}".encode().decode("latin-1"))
    for name, (wrong, fault) in WRONG.items():
        if fault is not None:
            yield f"token {name}", asked(f"Authorization: Bearer {issuer.token(**wrong)}")
    for number in range(40):
        yield f"key {number}", asked(f"x-api-key: {issuer.token(head={'kid': f'k{number}'})}")
    token = issuer.token()
    yield "token and a wrong key", asked(f"Authorization: Bearer {token}", "x-api-key: nothing")
    yield "token and another's key", asked(f"Authorization: Bearer {token}", f"x-api-key: {KEY}")
    yield "token of another scheme", asked(f"Authorization: DPoP {token}")
    yield "token in the query", asked(path=f"{CHAT}?access_token={token}")
    yield "token in a cookie", asked(f"Cookie: access_token={token}")
    yield "token in the body", asked(body=BODY[:-1] + b',"access_token":"%b"}' % token.encode())
    yield "token twice in one header", asked(f"Authorization: Bearer {token} {token}")
    yield "token with a null", asked(f"Authorization: Bearer {token}\0")
    users = ("X-Forwarded-User: ann", "X-Forwarded-Groups: admins")
    yield "strange proxy", asked(*users)
    yield "strange proxy that names another", asked(*users, "X-Forwarded-For: 10.0.0.5")
    yield "strange proxy with Forwarded", asked(*users, "Forwarded: for=10.0.0.5")
    yield "strange proxy in other letters", asked("x_forwarded_user: ann", "X-FORWARDED-USER: ann")
    yield "strange proxy with a line end", asked("X-Forwarded-User: ann\nX-Real-IP: 10.0.0.5")


async def test_no_request_hides_in_another_one() -> None:
    async with guarded() as (front, engine):
        for name, sent in SMUGGLED.items():
            back = await answered(front, sent)
            assert statuses(back) in ([400], [401]), (name, back)
            assert not engine.heads, name
        await _still_serves(front)


async def test_nothing_oversized_is_kept_or_reaches_the_engine() -> None:
    async with guarded() as (front, engine):
        process = psutil.Process()
        for name, sent in OVERSIZED.items():
            back = await answered(front, sent)
            # A head may be refused, and the connection reset, before all of it was sent.
            may_be_reset: list[list[int]] = [[]] if name in ENDLESS_HEADS else []
            assert statuses(back) in ([400], [408], [413], *may_be_reset), (name, back[:200])
        rss_bytes = []
        for _ in range(4):
            for sent in OVERSIZED.values():
                await answered(front, sent)
            gc.collect()
            rss_bytes.append(process.memory_info().rss)
        # A process keeps pages of its busiest moment. What leaks, 33 MB a round, grows with each.
        assert rss_bytes[-1] - rss_bytes[0] < 32 * 1024**2
        assert not engine.heads
        await _still_serves(front)


async def test_slow_clients_are_dropped_and_hold_nothing() -> None:
    slow = {
        "nothing": b"",
        "half a head": asked(BEARER)[:40],
        "half a body": asked(BEARER)[:-3],
        "half a chunk": framed(CHUNKED, body=b"5\r\n{"),
    }
    async with guarded() as (front, engine):
        back = await asyncio.gather(*(answered(front, sent) for sent in slow.values()))
        assert [statuses(each) for each in back] == [[], [], [408], [408]]
        assert not engine.heads
        await _still_serves(front)


async def test_with_a_key_no_other_path_of_the_engine_is_reached() -> None:
    async with guarded() as (front, engine):
        for name, sent in FURTHER.items():
            back = await answered(front, sent)
            assert engine.paths <= set(BACKEND_PATHS), name
            assert statuses(back), name
            assert all(status < 500 for status in statuses(back)), (name, back)
        assert engine.heads
        assert not [head for head in engine.heads if b"evil" in head.lower() or b"Cookie" in head]
        assert all(head.startswith(b"POST ") for head in engine.heads)
        assert not [head for head in engine.heads if KEY.encode() in head]


async def test_no_name_of_a_client_becomes_a_metric() -> None:
    async with guarded() as (front, _):
        key = {"Authorization": f"Bearer {KEY}"}
        await _still_serves(front)
        async with front.http.get(front.url + "/metrics", headers=key) as response:
            before = _series(await response.text())
        for number in range(30):
            name = f'm{number}",evil="1"}} 1\nevil_total 1\\'
            body = orjson.dumps({"model": name, "messages": [{"role": "user", "content": "hi"}]})
            await front.post(body, headers={**key, "User-Agent": name[:4]})
            await front.post(body, f"/v1/{number}", headers=key)
        async with front.http.get(front.url + "/metrics", headers=key) as response:
            after = _series(await response.text())
        new = {name for name, _ in after - before}
        assert new <= {"stoker_requests_refused_total", "stoker_requests_refused_created"}
        assert len(after - before) <= 4
        assert "evil" not in str(after)


def _series(text: str) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """The name and the labels of each series."""
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))) for f in families for s in f.samples}


def test_there_are_more_than_180_of_them() -> None:
    attempts = (NO_KEY, SMUGGLED, OVERSIZED, FURTHER, DASHBOARD)
    assert sum(map(len, attempts)) > 180
