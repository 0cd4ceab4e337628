"""The public keys of an issuer, read from a JWK set (RFC 7517) or from PEM. Pure.

PyJWT reads and checks; which key may check which token is decided here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

#: Keys of one issuer. Those that rotate have two or three; Microsoft's public set has a dozen.
_MOST_KEYS = 100
#: NIST SP 800-131A: shorter keys of RSA are not to be used.
_LEAST_RSA_BITS = 2048
#: A JWK set of ``_MOST_KEYS`` keys with their certificates.
MOST_BYTES = 512 * 1024
_ALGORITHM_OF_CURVE = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
_RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One public key, and which tokens it can check."""

    #: What tokens call it; ``None`` for a key without a name, as in PEM.
    kid: str | None
    algorithms: frozenset[str]
    key: Any

    def may_check(self, algorithm: str, kid: str | None) -> bool:
        """Whether a token with this head can be signed by it."""
        named = kid is None or self.kid is None or kid == self.kid
        return named and algorithm in self.algorithms


class _Jwk(msgspec.Struct, frozen=True):
    """What of a JWK decides whether it is used (RFC 7517, 4)."""

    kty: str
    kid: str | None = None
    use: str | None = None
    key_ops: tuple[str, ...] | None = None
    alg: str | None = None
    crv: str | None = None
    #: The secret half of a key.
    d: object = None


def read(content: bytes) -> tuple[VerificationKey, ...]:
    """The keys in a JWK set, or in PEM. Raises ``ValueError``, with the reason, for none."""
    if len(content) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES // 1024} KB")
    if b"-----BEGIN" in content:
        return _from_pem(content)
    return _from_jwk_set(content)


def _from_jwk_set(content: bytes) -> tuple[VerificationKey, ...]:
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ValueError("it is neither a JWK set nor PEM") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("it is no JWK set: it has no list `keys`")
    if len(entries) > _MOST_KEYS:
        raise ValueError(f"it has more than {_MOST_KEYS} keys")
    keys, unusable = [], set[str]()
    for entry in entries:
        try:
            keys.append(_from_jwk(entry))
        except ValueError as error:  # a set also has keys for other uses, and of later kinds
            unusable.add(str(error))
    if not keys:
        reasons = "; ".join(sorted(unusable)) or "it is empty"
        raise ValueError(f"it has no key that can check signatures ({reasons})")
    return tuple(keys)


def _from_jwk(entry: Mapping[str, Any]) -> VerificationKey:
    """One key. Raises ``ValueError`` where it can't or may not check signatures."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  (an extra)
    from jwt import PyJWK, PyJWTError  # noqa: PLC0415

    try:
        jwk = msgspec.convert(entry, _Jwk)
    except msgspec.ValidationError:
        raise ValueError("a key is damaged") from None
    if jwk.use not in (None, "sig") or "verify" not in (jwk.key_ops or ("verify",)):
        raise ValueError("a key is for encryption")
    if jwk.d is not None or jwk.kty == "oct":
        raise ValueError("a key is secret, not public")
    possible = _possible_algorithms(jwk)
    algorithms = possible if jwk.alg is None else possible & {jwk.alg}
    if not algorithms:
        raise ValueError("a key is of an unknown kind")
    try:
        key = PyJWK(dict(entry), algorithm=min(algorithms)).key
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, LookupError, AttributeError):
        raise ValueError("a key is damaged") from None
    return _checked(VerificationKey(jwk.kid, algorithms, key))


def _possible_algorithms(jwk: _Jwk) -> frozenset[str]:
    if jwk.kty == "RSA":
        return _RSA_ALGORITHMS
    if jwk.kty in ("EC", "OKP") and jwk.crv in _ALGORITHM_OF_CURVE:
        return frozenset({_ALGORITHM_OF_CURVE[jwk.crv]})
    return frozenset()


def _from_pem(content: bytes) -> tuple[VerificationKey, ...]:
    """Public keys and certificates, one after the other; they have no names."""
    if b"PRIVATE KEY-----" in content:
        raise ValueError("it holds a private key, which belongs to the issuer alone")
    begin = b"-----BEGIN"
    blocks = [begin + block for block in content.split(begin)[1:]]
    if len(blocks) > _MOST_KEYS:
        raise ValueError(f"it has more than {_MOST_KEYS} keys")
    return tuple(_from_block(block) for block in blocks)


def _from_block(block: bytes) -> VerificationKey:
    from cryptography import x509  # noqa: PLC0415  (an extra)
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    try:
        if b"BEGIN CERTIFICATE" in block:
            key: Any = x509.load_pem_x509_certificate(block).public_key()
        else:
            key = serialization.load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("a block of PEM in it is no public key and no certificate") from None
    return _checked(VerificationKey(None, _algorithms_of(key), key))


def _algorithms_of(key: Any) -> frozenset[str]:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415

    if isinstance(key, rsa.RSAPublicKey):
        return _RSA_ALGORITHMS
    if isinstance(key, ed25519.Ed25519PublicKey):
        return frozenset({"EdDSA"})
    curves = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in curves:
        return frozenset({curves[key.curve.name]})
    raise ValueError("a key is of an unknown kind")


def _checked(found: VerificationKey) -> VerificationKey:
    """The key, unless it is too short to be trusted."""
    is_rsa = not found.algorithms.isdisjoint(_RSA_ALGORITHMS)
    if is_rsa and found.key.key_size < _LEAST_RSA_BITS:
        raise ValueError(f"a key of RSA has fewer than {_LEAST_RSA_BITS} bits")
    return found


def matching(
    keys: Collection[VerificationKey], algorithm: str, kid: str | None
) -> list[VerificationKey]:
    """The keys that may have signed a token with this head."""
    return [key for key in keys if key.may_check(algorithm, kid)]
