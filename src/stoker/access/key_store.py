"""The keys that ``stoker keys`` manages, in a private file that every gateway reads."""

from __future__ import annotations

import contextlib
import math
import os
import re
import secrets
import stat
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from filelock import FileLock, Timeout
from msgspec import Meta

from stoker import paths
from stoker.access.api_keys import Keys, KnownKey, hash_of
from stoker.access.audit_log import AuditLog
from stoker.access.caller import (
    LEAST_COST,
    MOST_COST,
    MOST_COUNT,
    NO_LIMITS,
    Caller,
    CallerLimits,
    Role,
)
from stoker.errors import StokerError, UsageError
from stoker.private_files import give_to_folder_owner, make_private, write_private

SCHEMA_VERSION = 1
#: What every key begins with: it shows what a key is for, and scanners for secrets can find it.
PREFIX = "sk-stoker-"
#: 10,000 keys with a dozen models each.
_MAX_BYTES = 16 * 1024**2
_MAX_NAME = 100
_MAX_MODELS = 100
#: Another process holds the lock for milliseconds, or it is stuck.
_LOCK_S = 10.0
_LIMIT_NAMES = frozenset(asdict(NO_LIMITS))
#: The end of the year 9999, a day early for every time zone: later ones can't be shown.
LATEST = 253_402_200_000.0
_Moment = Annotated[float, Meta(ge=0, le=LATEST)]
_FIX_OF_DAMAGE = (
    "Restore the file from a backup. Without one, remove it and make new keys: "
    "stoker keys create OWNER."
)
_ID = re.compile(rf"(?:{PREFIX})?([0-9a-f]{{8}})(?:-.*)?")


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of a key. Times are in seconds since the epoch."""

    #: Part of the key, and no secret: what it is called in lists and logs.
    id: str
    sha256: str
    owner: str
    role: Role = "user"
    models: tuple[str, ...] = ()
    #: The limits that are set, by the names of ``CallerLimits``.
    limits: dict[str, int | float] = {}
    created_at: _Moment
    expires_at: _Moment | None = None
    revoked_at: _Moment | None = None
    #: The first key of a row of replacements: their limits are counted together.
    first_id: str = ""

    def is_active(self, now: float) -> bool:
        """Whether it opens the gateway at this time."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    @property
    def prefix(self) -> str:
        """How the key begins, to find it in a client's settings."""
        return PREFIX + self.id

    def known(self) -> KnownKey:
        """The key as a gateway looks it up."""
        limits = CallerLimits(**self.limits)  # type: ignore[arg-type]  # _limits_fault saw them
        first = self.first_id or self.id
        caller = Caller(self.owner, self.id, self.role, self.models, limits, first)
        digest = bytes.fromhex(self.sha256)
        return KnownKey(digest, caller, self.expires_at, self.revoked_at is not None)

    def described(self) -> dict[str, Any]:
        """What may be shown and logged of it: all but its hash."""
        fields = msgspec.structs.asdict(self)
        del fields["sha256"]
        return {**fields, "prefix": self.prefix}


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made just now: the only time that it can be shown."""

    record: KeyRecord
    key: str
    #: The key that it replaces, with the time when that ends.
    replaced: KeyRecord | None = None


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema_version: int
    keys: tuple[KeyRecord, ...]


class KeyStore:
    """The keys in one folder.

    Revoked and expired keys stay in the file, so that the end of the last key does not open the
    gateway to all, and the use of an old key is recognised. A file that can't be read opens
    nothing: every method raises ``StokerError`` then.
    """

    def __init__(
        self,
        folder: Path | None = None,
        audit: AuditLog | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder or paths.state_dir()
        self._audit = audit or AuditLog()
        self._now = now

    @property
    def path(self) -> Path:
        """The file. It is written whole, so that a reader sees the old or the new one."""
        return self._folder / "keys.json"

    def stamp(self) -> tuple[int, int, int, int] | None:
        """What is different after each change of the file; ``None`` where there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size

    def keys(self) -> Keys:
        """The keys, to look up what a request has."""
        return Keys({}, (record.known() for record in self.records()), self._now)

    def records(self) -> tuple[KeyRecord, ...]:
        """Every key that was ever made, in that order; none where there is no file."""
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                content = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return ()
        except OSError as error:
            fix = "Run this as the account that the file belongs to, or fix what is reported."
            raise self._broken(str(error.strerror), fix) from error
        if os.name == "posix" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            fix = f"Make sure that its keys are yours; then: chmod 600 {self.path}"
            raise self._broken("other users may write it, so its keys may not be yours", fix)
        return self._decoded(content)

    def create(
        self,
        owner: str,
        *,
        role: Role = "user",
        models: Sequence[str] = (),
        limits: CallerLimits = NO_LIMITS,
        expires_at: float | None = None,
    ) -> NewKey:
        """Make a key. Raises ``UsageError`` where a name is not usable."""
        owner = checked_name("owner", owner)
        allowed = tuple(checked_name("model", model) for model in models)
        if len(allowed) > _MAX_MODELS:
            fix = "Use a pattern, such as qwen*."
            raise UsageError(f"A key names at most {_MAX_MODELS} models.", fix=fix)
        if expires_at is not None and expires_at <= self._now():
            raise UsageError("That time is past.", "The key could never be used.", "Give another.")
        rules = KeyRecord(
            id="",
            sha256="",
            owner=owner,
            role=role,
            models=allowed,
            limits=_set(limits),
            created_at=self._now(),
            expires_at=expires_at,
        )
        with self._locked():
            records = list(self.records())
            made = self._drawn(records, rules)
            self._save([*records, made.record], "key_created", made.record)
            return made

    def rotate(self, key: str, grace_s: float = 0.0) -> NewKey:
        """Replace a key by a new one with the same rules; the old one ends after ``grace_s``."""
        with self._locked():
            records = list(self.records())
            index = self._index(records, key)
            old = records[index]
            now = self._now()
            if not old.is_active(now):
                raise _ended(old)
            if grace_s > 0:
                ends = min(now + grace_s, old.expires_at or math.inf)
                records[index] = msgspec.structs.replace(old, expires_at=ends)
            else:
                records[index] = msgspec.structs.replace(old, revoked_at=now)
            first_id = old.first_id or old.id
            rules = msgspec.structs.replace(old, created_at=now, first_id=first_id)
            made = self._drawn(records, rules)
            self._save([*records, made.record], "key_rotated", made.record, replaces=old.id)
            return replace(made, replaced=records[index])

    def revoke(self, key: str) -> KeyRecord:
        """End a key for good."""
        with self._locked():
            records = list(self.records())
            index = self._index(records, key)
            if records[index].revoked_at is not None:
                raise _ended(records[index])
            records[index] = msgspec.structs.replace(records[index], revoked_at=self._now())
            self._save(records, "key_revoked", records[index])
            return records[index]

    def limit(self, key: str, changed: Callable[[CallerLimits], CallerLimits]) -> KeyRecord:
        """Replace the limits of a key."""
        with self._locked():
            records = list(self.records())
            index = self._index(records, key)
            if not records[index].is_active(self._now()):
                raise _ended(records[index])
            limits = _set(changed(records[index].known().caller.limits))
            records[index] = msgspec.structs.replace(records[index], limits=limits)
            self._save(records, "key_limited", records[index])
            return records[index]

    def _drawn(self, records: Sequence[KeyRecord], rules: KeyRecord) -> NewKey:
        """A new key with these rules, under an id that no other has."""
        taken = {record.id for record in records}
        key_id = secrets.token_hex(4)
        while key_id in taken:
            key_id = secrets.token_hex(4)
        key = f"{PREFIX}{key_id}-{secrets.token_urlsafe(32)}"
        return NewKey(msgspec.structs.replace(rules, id=key_id, sha256=hash_of(key)), key)

    def _index(self, records: Sequence[KeyRecord], key: str) -> int:
        """The place of a key. An unknown one is not repeated: it may be a whole key."""
        wanted = _ID.fullmatch(key)
        found = (i for i, record in enumerate(records) if wanted and record.id == wanted[1])
        index = next(found, None)
        if index is None:
            raise UsageError(
                "There is no such key.",
                "A key is named by its id of 8 characters, or by its visible beginning.",
                "stoker keys list shows both.",
            )
        return index

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            make_private(self._folder)
            with FileLock(self._folder / "keys.lock", timeout=_LOCK_S, mode=0o600) as lock:
                give_to_folder_owner(Path(lock.lock_file))
                yield
        except (OSError, Timeout) as error:
            busy = "another process holds its lock" if isinstance(error, Timeout) else error
            raise StokerError(
                f"The keys in {self.path} can't be changed.",
                f"The system reports: {busy}.",
                "Make the folder writable for this account, and try again.",
            ) from error

    def _save(
        self, records: Sequence[KeyRecord], event: str, of: KeyRecord, **more: object
    ) -> None:
        """Log the change, then make it: no key works that the audit log does not know."""
        self._audit.append({"event": event, **more, "key": of.described()})
        content = _KeyFile(SCHEMA_VERSION, tuple(records))
        write_private(self.path, msgspec.json.format(msgspec.json.encode(content)))
        give_to_folder_owner(self.path)

    def _decoded(self, content: bytes) -> tuple[KeyRecord, ...]:
        if len(content) > _MAX_BYTES:
            raise self._broken("it is larger than any that Stoker writes")
        try:
            file = msgspec.json.decode(content, type=_KeyFile)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise self._broken(f"{error}") from None
        if file.schema_version != SCHEMA_VERSION:
            fix = "Use the version of Stoker that wrote it, or a later one."
            raise self._broken(f"its version {file.schema_version} is of another Stoker", fix)
        if not file.keys:
            raise self._broken("it holds no key")
        for record in file.keys:
            fault = _fault(record)
            if fault:
                raise self._broken(f"the key {record.id[:8]!r} has {fault}")
        return file.keys

    def _broken(self, why: str, fix: str = _FIX_OF_DAMAGE) -> StokerError:
        return StokerError(
            f"The keys in {self.path} can't be read, so no gateway opens with them.",
            f"{why[:1].upper()}{why[1:]}.",
            fix,
        )


def _set(limits: CallerLimits) -> dict[str, int | float]:
    """The limits that are set, by name. Raises ``UsageError`` for one that can't be counted."""
    numbers = {name: number for name, number in asdict(limits).items() if number is not None}
    fault = _limits_fault(numbers)
    if fault:
        raise UsageError(
            f"A key can't have {fault}.",
            f"Limits are whole numbers from 1 to {MOST_COUNT:,}; money is {LEAST_COST:f} to "
            f"{MOST_COST:,.0f}.",
            "Give another number; 0 sets no limit.",
        )
    return numbers


def _limits_fault(limits: Mapping[str, int | float]) -> str:
    """What is wrong with limits; empty where nothing is. Not a number is within no range."""
    for name, number in limits.items():
        if name not in _LIMIT_NAMES:
            return f"the limit {name[:50]!r}, which there is not"
        is_cost = name.startswith("cost_")
        least, most = (LEAST_COST, MOST_COST) if is_cost else (1, MOST_COUNT)
        if not least <= number <= most or (isinstance(number, float) and not is_cost):
            return f"{number} for {name}"
    return ""


def checked_name(what: str, name: str) -> str:
    """A name in one spelling. Raises ``UsageError`` where it can't be shown in one line."""
    name = unicodedata.normalize("NFC", name.strip())
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise UsageError(
            f"The name of the {what} can't be used.",
            f"A name has 1 to {_MAX_NAME} characters that can be printed.",
            "Write it in one line, without control characters.",
        )
    return name


def _fault(record: KeyRecord) -> str:
    """What of a record could only be written by hand, or by mistake."""
    if not re.fullmatch(r"[0-9a-f]{64}", record.sha256):
        return "no SHA-256"
    if not re.fullmatch(r"[0-9a-f]{8}", record.id):
        return "no id of 8 hexadecimal digits"
    if not record.owner.isprintable() or not record.owner:
        return "no owner that can be printed"
    if not all(model and model.isprintable() for model in record.models):
        return "a model whose name can't be printed"
    return _limits_fault(record.limits)


def _ended(record: KeyRecord) -> UsageError:
    how = "expired" if record.revoked_at is None else "was revoked"
    return UsageError(
        f"The key {record.id} of {record.owner} {how} already.",
        "A key that ended stays ended.",
        "Make a new one: stoker keys create OWNER.",
    )
