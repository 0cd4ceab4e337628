"""Who may use a running gateway: its keys follow their files, and what it refuses is logged."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict

from stoker.access import open_gateway
from stoker.access.api_keys import Keys
from stoker.access.audit_log import AuditLog
from stoker.access.key_store import KeyStore
from stoker.access.sign_on.sign_on_rules import NO_SIGN_ON, SignOnRules
from stoker.errors import StokerError
from stoker.gateway import Gateway

_log = logging.getLogger("stoker.gateway")


class GatewayAccess:
    """Who may use one gateway: by the keys of the store, or as its configuration names them.

    ``own`` opens the gateway to Stoker's own commands, and is added where keys are needed at all.
    """

    def __init__(
        self, gateway: Gateway, bind: str, *, insecure: bool = False, own: Keys | None = None
    ) -> None:
        self._gateway = gateway
        self._bind = bind
        self._insecure = insecure
        self._own = own or Keys({})
        self._audit = AuditLog()
        self._store = KeyStore(audit=self._audit)
        self._stamp = self._store.stamp()
        self._is_unread = False
        self._stored = self._store.keys()
        self._configured = Keys({})
        self._sign_on = NO_SIGN_ON
        self._unwritten: list[dict[str, object]] = []

    def configure(self, configured: Keys, sign_on: SignOnRules = NO_SIGN_ON) -> None:
        """Open the gateway to these keys, the stored ones, and those who sign on by these rules.

        Raises ``UsageError``, and changes nothing, where it would be open to other machines.
        """
        keys = configured.and_also(self._stored)  # what was revoked there stays revoked
        protected = keys.required or sign_on.required
        open_gateway.refuse_open(self._bind, protected=protected, insecure=self._insecure)
        self._configured, self._sign_on = configured, sign_on
        self._gateway.use_keys(keys.and_also(self._own) if protected else keys)
        self._gateway.use_sign_on(sign_on)

    def log(self, event: str, **fields: object) -> None:
        """Have a line written to the audit log, within the time of one poll."""
        self._unwritten.append({"event": event, **fields})

    def log_start(self, **fields: object) -> None:
        """Log that the gateway starts. Raises ``StokerError`` where the log can't be written."""
        required = self._configured.and_also(self._stored).required
        start = {"bind": self._bind, "keys_required": required, "insecure": self._insecure}
        start["sign_on"] = self._sign_on.required
        self._audit.append({"event": "gateway_started", **start, **fields})

    async def follow(self, poll_s: float) -> None:
        """Take on each change of the stored keys, and log refused entries, until cancelled."""
        # Apart: where another process holds the log's lock, keys are revoked in time all the same.
        await asyncio.gather(self._follow_keys(poll_s), self._keep_log(poll_s))

    async def _follow_keys(self, poll_s: float) -> None:
        while True:
            await asyncio.sleep(poll_s)
            self.read_again()

    async def _keep_log(self, poll_s: float) -> None:
        while True:
            await asyncio.sleep(poll_s)
            await self.write_log()

    def read_again(self) -> None:
        """Use the stored keys as they are now.

        Where their file is damaged or gone, the keys that were read before stay in use, and a
        gateway that had none yet shuts: none is open because of a file.
        """
        stamp = self._store.stamp()
        is_changed = stamp != self._stamp
        if not (is_changed or self._is_unread):
            return
        self._stamp = stamp
        try:
            stored = self._store.keys()
        except StokerError as error:
            # Tried again each time: a lack of file descriptors must not keep a revoked key alive.
            self._is_unread = True
            if is_changed:
                _log.error("the keys were not reloaded: %s", error)
            if not self._stored.required:
                self._use(Keys.shut())
            return
        self._is_unread = False
        if self._stored.required and not stored.required:
            _log.error("the file of the keys is gone: those that were read before stay in use")
            return
        self._use(stored)
        _log.info("keys reloaded")

    def _use(self, stored: Keys) -> None:
        self._stored = stored
        self.configure(self._configured, self._sign_on)

    async def write_log(self, *, all_of_it: bool = False) -> None:
        """Write what is due to the audit log; all of it when the gateway ends.

        A gateway that runs goes on where that fails. It may wait for another process.
        """
        refused = self._gateway.refused_entries.take(all_of_them=all_of_it)
        for entry, count in refused.items():
            self.log("entry_refused", **asdict(entry), count=count)
        lines, self._unwritten = self._unwritten, []
        if not lines:
            return
        try:
            await asyncio.to_thread(self._audit.append, *lines)
        except StokerError as error:
            _log.error("%d lines are missing in the audit log: %s", len(lines), error)
