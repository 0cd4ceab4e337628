"""Key pairs and signatures in minisign's format, so that ``minisign -V`` verifies them too.

The format is described at https://jedisct1.github.io/minisign/. Signed is the BLAKE2b-512 of the
content (algorithm ``ED``), and then the signature together with the trusted comment.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from stoker.errors import StokerError, UsageError

_KEY_ALGORITHM, _SIGNATURE_ALGORITHM, _CHECKSUM = b"Ed", b"ED", b"B2"
_NO_PASSWORD = b"\x00\x00"
_UNTRUSTED, _TRUSTED = "untrusted comment: ", "trusted comment: "
#: Algorithms (6), then salt and limits of the password's derivation (48), id (8), the key (64) and
#: its checksum (32).
_SECRET_BYTES = 158
#: No file of minisign is longer than its comments, which it limits to 8 KiB.
MAX_FILE_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What verifies: a file that may be given to anyone."""

    key_id: bytes
    raw: bytes

    @property
    def shown_id(self) -> str:
        """The id as minisign prints it."""
        return f"{int.from_bytes(self.key_id, 'little'):016X}"


@dataclass(frozen=True, slots=True)
class SecretKey:
    """What signs. Its bytes appear in no message."""

    key_id: bytes
    seed: bytes = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this one signs."""
        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        return PublicKey(self.key_id, key.public_key().public_bytes_raw())


def make_pair(secret_file: Path, public_file: Path) -> PublicKey:
    """Write a new pair: the secret file for its owner only. Raises ``StokerError``.

    Files that exist are never replaced: a lost secret key can't be made again.
    """
    key = SecretKey(secrets.token_bytes(8), secrets.token_bytes(32))
    for file in (secret_file, public_file):
        if file.exists():
            raise _key_exists(file)
    for file, mode, text in (
        (secret_file, 0o600, _secret_text(key)),
        (public_file, 0o644, public_text(key.public)),
    ):
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            raise _key_exists(file) from None
        except OSError as error:
            raise StokerError(f"{file} can't be written.", f"{error.strerror}.") from error
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.write(text)
    return key.public


def _key_exists(file: Path) -> UsageError:
    return UsageError(
        f"{file} exists already.",
        "A key is never replaced: what it signed could not be verified any more.",
        "Name another file.",
    )


def read_public(file: Path) -> PublicKey:
    """The public key in ``file``. Raises ``UsageError`` where there is none."""
    raw = _key_bytes(file)
    if len(raw) == _SECRET_BYTES:
        raise _no_key(
            file, "It is a secret key.", "Give the public key: the file that ends in .pub."
        )
    if len(raw) != 42 or raw[:2] != _KEY_ALGORITHM:
        raise _no_key(file, "It holds no public key of minisign's format.")
    return PublicKey(raw[2:10], raw[10:])


def read_secret(file: Path) -> SecretKey:
    """The secret key in ``file``. Raises ``UsageError`` where there is none that can be used."""
    raw = _key_bytes(file)
    if len(raw) != _SECRET_BYTES or raw[:2] != _KEY_ALGORITHM:
        raise _no_key(file, "It holds no secret key of minisign's format.")
    if raw[2:4] != _NO_PASSWORD:
        raise _no_key(file, "The key has a password, and Stoker asks for none.")
    key_id, secret, checksum = raw[54:62], raw[62:126], raw[126:]
    if not hmac.compare_digest(checksum, _checksum(key_id, secret)):
        raise _no_key(file, "Its checksum is wrong: the file is damaged.")
    return SecretKey(key_id, secret[:32])


def signature(content: bytes, key: SecretKey, comment: str) -> bytes:
    """The signature file of ``content``; ``comment`` is signed too and must be one line."""
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    signed = private.sign(hashlib.blake2b(content).digest())
    together = private.sign(signed + comment.encode())
    return _signature_text(_SIGNATURE_ALGORITHM + key.key_id + signed, comment, together)


def _signature_text(signed: bytes, comment: str, together: bytes) -> bytes:
    """The one form of a signature file. Its first line is not signed, so it is no one's choice."""
    lines = (
        f"{_UNTRUSTED}signature of a Stoker bundle",
        _base64(signed),
        f"{_TRUSTED}{comment}",
        _base64(together),
    )
    return ("\n".join(lines) + "\n").encode()


def verify(content: bytes, signature_file: bytes, key: PublicKey) -> str:
    """The trusted comment. Raises ``StokerError`` where the signature is not this key's."""
    signed, comment, together = _parsed(signature_file)
    if signed[2:10] != key.key_id:
        other = PublicKey(signed[2:10], b"")
        raise StokerError(
            "The bundle was signed with another key.",
            f"Its signature names key {other.shown_id}, and yours is {key.shown_id}.",
            "Give the public key of the bundle's maker, and get it in a way that you trust.",
        )
    public = Ed25519PublicKey.from_public_bytes(key.raw)
    try:
        public.verify(signed[10:], hashlib.blake2b(content).digest())
        public.verify(together, signed[10:] + comment.encode())
    except InvalidSignature:
        raise StokerError(
            "The signature of the bundle is wrong.",
            "The bundle was altered after it was signed, or the signature was forged.",
            "Don't use it. Copy it again; if that fails, ask its maker.",
        ) from None
    return comment


def _parsed(signature_file: bytes) -> tuple[bytes, str, bytes]:
    try:
        _, encoded, trusted, encoded_both, _ = signature_file.decode("utf-8").split("\n")
        signed = base64.b64decode(encoded, validate=True)
        together = base64.b64decode(encoded_both, validate=True)
    except (ValueError, binascii.Error):
        raise _bad_signature() from None
    comment = trusted.removeprefix(_TRUSTED)
    # Base64 has several texts for the same bytes: only the one that is written here is read.
    sound = signature_file == _signature_text(signed, comment, together)
    if not sound or len(signed) != 74 or signed[:2] != _SIGNATURE_ALGORITHM:
        raise _bad_signature()
    return signed, comment, together


def _bad_signature() -> StokerError:
    return StokerError(
        "The signature of the bundle can't be read.",
        "It is not of minisign's format: the bundle was damaged or altered.",
        "Copy it again; if that fails, ask its maker.",
    )


def _key_bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            lines = opened.read(MAX_FILE_BYTES).decode("ascii").splitlines()
    except OSError as error:
        raise _no_key(file, f"{error.strerror}.") from error
    except UnicodeDecodeError:
        raise _no_key(file, "It is not a text file.") from None
    # A public key may also be one line, as minisign prints it.
    text = [line for line in lines if line and not line.startswith(_UNTRUSTED.rstrip())]
    try:
        return base64.b64decode(text[0], validate=True) if len(text) == 1 else b""
    except (ValueError, binascii.Error):
        return b""


def _no_key(file: Path, why: str, fix: str = "") -> UsageError:
    return UsageError(
        f"{file} can't be used as a key.", why, fix or "Make a pair: stoker bundle keygen NAME."
    )


def _secret_text(key: SecretKey) -> str:
    secret = key.seed + key.public.raw
    raw = _KEY_ALGORITHM + _NO_PASSWORD + _CHECKSUM + bytes(48) + key.key_id + secret
    encoded = _base64(raw + _checksum(key.key_id, secret))
    return f"{_UNTRUSTED}secret key of Stoker bundles\n{encoded}\n"


def public_text(key: PublicKey) -> str:
    """The content of the file of a public key."""
    encoded = _base64(_KEY_ALGORITHM + key.key_id + key.raw)
    return f"{_UNTRUSTED}public key of Stoker bundles, {key.shown_id}\n{encoded}\n"


def _checksum(key_id: bytes, secret: bytes) -> bytes:
    return hashlib.blake2b(_KEY_ALGORITHM + key_id + secret, digest_size=32).digest()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
