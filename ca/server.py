"""The certificate with which `wattq ca serve` shows itself: the CA issues it, and renews it while it serves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from ca.authority import Authority, now_ms
from ca.issuing import hosts_of
from ca.keys import SigningKey
from ca.lifetimes import DAY_MS, not_after_ms_of
from ca.tls import public_server_context

SERVER_DAYS, RENEW_DAYS = 90, 30
CHECK_S = 3_600.0


class ServerCertificate:
    """``server.key`` (encrypted as the CA's key is) and ``server.crt`` in the CA's directory."""

    def __init__(self, directory: Path, authority: Authority, hosts: Sequence[str], passphrase: str = "") -> None:
        self._key, self._certificate = directory / "server.key", directory / "server.crt"
        self._authority, self._hosts, self._passphrase = authority, tuple(hosts), passphrase
        if not self._key.exists():
            SigningKey.generate().save(self._key, passphrase)
        self._renew_if_due()
        self.context = public_server_context(self._certificate, self._key, passphrase)

    async def run(self) -> None:
        """Renew in time, for ever; connections made later see the new one."""
        while True:
            await asyncio.sleep(CHECK_S)
            await asyncio.to_thread(self._renew_if_due)
            self.reload()

    def reload(self) -> None:
        self.context.load_cert_chain(self._certificate, self._key, self._passphrase)

    def _renew_if_due(self) -> None:
        if not self._is_due():
            return
        key = SigningKey.load(self._key, self._passphrase)
        draft = self._certificate.with_suffix(".draft")
        draft.write_bytes(self._authority.issue_server(key, SERVER_DAYS, self._hosts))
        os.replace(draft, self._certificate)

    def _is_due(self) -> bool:
        """There is none, it soon ends, another CA issued it, or it is for other hosts."""
        try:
            read = x509.load_pem_x509_certificate(self._certificate.read_bytes())
        except (OSError, ValueError):
            return True
        try:
            read.verify_directly_issued_by(self._authority.certificate)
        except (InvalidSignature, ValueError, TypeError):
            return True
        return not_after_ms_of(read) - now_ms() < RENEW_DAYS * DAY_MS or hosts_of(read) != self._hosts
