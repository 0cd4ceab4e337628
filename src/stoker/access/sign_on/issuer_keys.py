"""The public keys of one issuer while the gateway runs: asked for, kept, and replaced."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp

from stoker.access.sign_on import key_download, verification_keys
from stoker.access.sign_on.key_download import KeyDownloadError
from stoker.access.sign_on.sign_on_rules import Issuer
from stoker.access.sign_on.verification_keys import VerificationKey

#: How often keys are asked for again, so that one that the issuer took away ends here, too.
REFRESH_S = 300.0
#: The least time between two questions: however many tokens name unknown keys, and while the
#: issuer is away.
RETRY_S = 10.0
#: Discovery and keys together. A request that came with an unknown key waits for it.
DOWNLOAD_S = 5.0

_log = logging.getLogger("stoker.gateway")


def read_file(path: Path) -> tuple[VerificationKey, ...]:
    """The keys in a file. Raises ``ValueError`` or ``OSError``."""
    with path.open("rb") as file:
        return verification_keys.read(file.read(verification_keys.MOST_BYTES + 1))


class IssuerKeys:
    """The keys of one issuer, from its address or from a file."""

    def __init__(
        self,
        issuer: Issuer,
        clock: Callable[[], float] = time.monotonic,
        download_s: float = DOWNLOAD_S,
    ) -> None:
        """``download_s`` bounds one download, in seconds."""
        self._issuer = issuer
        self._download_s = download_s
        self._source = issuer.keys_from
        self._clock = clock
        self._keys: tuple[VerificationKey, ...] = ()
        self._seen_at = self._asked_at = -float("inf")
        self._asking: asyncio.Task[None] | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._problem = ""

    @property
    def keys(self) -> tuple[VerificationKey, ...]:
        """The keys that count now; none where the issuer was away for too long.

        The same tuple as before means that nothing changed.
        """
        is_kept = self._clock() - self._seen_at <= self._source.stale_if_error_s
        return self._keys if is_kept or self._source.file else ()

    async def refresh(self, http: aiohttp.ClientSession) -> None:
        """Read them again where it is time for that. Never fails."""
        if self._source.file is not None:
            await asyncio.to_thread(self._follow_file, self._source.file)
            return
        every_s = RETRY_S if self._problem else REFRESH_S
        if self._clock() - self._asked_at >= every_s:
            await self._ask(http)

    async def learn(self, http: aiohttp.ClientSession) -> None:
        """Ask for a key that is not known yet, together with all others that wait for one.

        Does nothing where the issuer was asked a moment ago, and for a file that was read.
        """
        if self._source.file is not None:
            if not (self._keys or self._problem):  # the configuration names it since a moment
                await self.refresh(http)
            return
        is_asking = self._asking is not None and not self._asking.done()
        is_due = self._clock() - self._asked_at >= RETRY_S
        if is_asking or is_due:
            await self._ask(http)

    def stop(self) -> None:
        """Give up a question that is under way: the connection it needs is about to close."""
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self, http: aiohttp.ClientSession) -> None:
        if self._asking is None or self._asking.done():
            self._asked_at = self._clock()
            self._asking = asyncio.create_task(self._download(http))
        # A client that leaves does not end the question that others wait for.
        await asyncio.shield(self._asking)

    async def _download(self, http: aiohttp.ClientSession) -> None:
        try:
            found = await key_download.downloaded(
                http, self._source, self._issuer.name, self._download_s
            )
        except KeyDownloadError as error:
            self._failed(str(error))
            return
        self._seen_at = self._clock()
        self._use(found)

    def _follow_file(self, path: Path) -> None:
        try:
            found = path.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            if stamp == self._stamp:
                return
            keys = read_file(path)
        except (OSError, ValueError) as error:  # what was read before stays in use
            reason = error.strerror if isinstance(error, OSError) else error
            self._failed(f"{path}: {reason}")
            return
        self._stamp = stamp
        self._use(keys)

    def _use(self, found: tuple[VerificationKey, ...]) -> None:
        if self._problem or not self._keys:
            _log.info("issuer %s: %d keys", self._issuer.name, len(found))
        self._problem = ""
        if found != self._keys:
            self._keys = found

    def _failed(self, problem: str) -> None:
        if problem != self._problem:
            _log.error("the keys of issuer %s can't be read: %s", self._issuer.name, problem)
        self._problem = problem
