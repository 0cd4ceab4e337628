"""The TLS of a listener: TLS 1.2 or later, with files that may change while it listens."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from stoker.certificates.certificate_files import CertificateFiles, inspect
from stoker.certificates.own_certificates import OwnCertificates
from stoker.errors import StokerError

_log = logging.getLogger("stoker.gateway")


class ServedCertificate:
    """What new connections are secured with: the files' content when it was last in order.

    ``context`` is for the listener. ``own`` lets Stoker's own commands in. Raises ``StokerError``
    where the files are not in order at the start.
    """

    def __init__(self, files: CertificateFiles, own: OwnCertificates | None = None) -> None:
        self._files = files
        self._own = own
        self._stamp = _stamp(files)
        #: Why the files as they are now were not taken on; empty where they were.
        self._fault = ""
        self._is_logged = False
        #: The hosts that it is for.
        self.names: tuple[str, ...] = ()
        self._current = self.context = self._loaded()
        # Open connections keep theirs. A context can't be emptied of what it trusts, so each
        # change makes a new one, and a connection is handed the latest as it begins.
        self.context.sni_callback = self._use_current

    def _use_current(
        self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        connection.context = self._current

    def _loaded(self) -> ssl.SSLContext:
        found = inspect(self._files)
        context = _context(self._files)
        if self._own:
            self._own.trust_client(context)
            self._own.publish(self._files.certificate)
        if found.warning:
            _log.warning("%s", found.warning)
        self.names = found.names
        return context

    async def follow(self, poll_s: float) -> None:
        """Load the files again whenever they change, until cancelled."""
        while True:
            await asyncio.sleep(poll_s)
            self.read_again()

    def read_again(self) -> None:
        """Take on the files if they changed. Ones that are not in order change nothing.

        The two files are never written in one step, so a fault is logged where the next reading
        finds it too, and then once.
        """
        stamp = _stamp(self._files)
        if stamp == self._stamp and not self._fault:
            return
        is_settled, self._stamp = stamp == self._stamp, stamp
        try:
            self._current = self._loaded()
        except StokerError as error:
            self._note(str(error), is_settled=is_settled)
            return
        self._fault, self._is_logged = "", False
        _log.info("TLS certificate reloaded")

    def _note(self, fault: str, *, is_settled: bool) -> None:
        if fault != self._fault:
            self._fault, self._is_logged = fault, False
        if is_settled and not self._is_logged:
            self._is_logged = True
            _log.error("the TLS certificate was not reloaded, the one before stays: %s", fault)


def _stamp(files: CertificateFiles) -> tuple[object, ...]:
    """What changes with the files' content, also where a link comes to mean another file."""
    return tuple(_stamp_of(path) for path in files.all)


def _stamp_of(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode


def _context(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client could have the server do the costly half of a handshake over and over.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # An encrypted key would ask for its password on the terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
        if files.client_ca is not None:
            _ask_clients(context, files, files.client_ca)
    except (OSError, ValueError) as error:
        raise StokerError(
            f"The TLS files can't be used: {files.certificate}, {files.key}.",
            f"OpenSSL reports: {error}.",
            "Write them again; RSA keys need 2048 bits or more.",
        ) from error
    return context


def _ask_clients(context: ssl.SSLContext, files: CertificateFiles, client_ca: Path) -> None:
    context.load_verify_locations(client_ca)
    is_required = files.client_certificates == "required"
    context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
    # A resumed connection would show no certificate again, whatever is trusted by then.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
