"""The node's own certificate: taken up anew when its file is replaced, and watched for its end, as the CA roots are."""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from prometheus_client import Gauge

from ca.certificates import CertificateFacts, InvalidCertificate, Role, certificate_facts
from ca.lifetimes import DAY_MS, CertificateStatus, not_after_ms_of, sentence_about, status_of
from ca.tls import public_server_context

CHECK_S = 5.0
"""How soon a new certificate is found."""

log = logging.getLogger("wattq.certificates")

Mark = tuple[int, int, int]


class CertificateWatch:
    """One a node. ``contexts``: the TLS contexts that show the certificate; connections made later see a new one.
    ``days``: where it is told how long certificates hold, labelled ``node`` and ``root``.

    A file that cannot be used is told of, and the certificate before it stays in force.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        public_key: bytes,
        roots: Callable[[], Sequence[bytes]],
        contexts: Sequence[ssl.SSLContext],
        days: Gauge,
    ) -> None:
        self._certificate, self._key, self._public_key = certificate, key, public_key
        self._roots, self._contexts = roots, contexts
        self._ends_ms: dict[str, int] = {}
        self._mark: Mark | None = None
        self._fault = ""
        for holder in ("node", "root"):
            days.labels(holder).set_function(partial(self._days, holder))
        self._take_up(self._seen(roots()))

    async def run(self) -> None:
        """Look at the file again and again."""
        while True:
            await asyncio.sleep(CHECK_S)
            # State is read and contexts are changed here, where they are used; the file is read beside.
            self._take_up(await asyncio.to_thread(self._seen, self._roots()))

    def certificates(self) -> tuple[CertificateStatus, ...]:
        now_ms = _now_ms()
        return tuple(status_of(holder, end_ms, now_ms) for holder, end_ms in sorted(self._ends_ms.items()))

    def warnings(self) -> tuple[str, ...]:
        """Sentences about what soon ends, and about a file that cannot be used."""
        found = [sentence_about(status) for status in self.certificates()]
        return tuple(sentence for sentence in (*found, self._fault) if sentence)

    def alarms(self) -> tuple[str, ...]:
        """What has ended: nobody can connect to such a node any more."""
        return tuple(f"certificate: {sentence_about(status)}" for status in self.certificates() if status.days < 0)

    def _days(self, holder: str) -> float:
        return (self._ends_ms[holder] - _now_ms()) / DAY_MS if holder in self._ends_ms else math.nan

    def _file_mark(self) -> Mark | None:
        try:
            found = self._certificate.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _seen(self, roots: Sequence[bytes]) -> CertificateFacts | str | None:
        """What the file holds if it is another than before, or why that cannot be used; and when the roots end."""
        ends = [not_after_ms_of(x509.load_der_x509_certificate(root)) for root in roots]
        self._ends_ms |= {"root": min(ends)} if ends else {}
        mark = self._file_mark()
        if mark == self._mark:
            return None
        self._mark = mark
        try:
            read = x509.load_pem_x509_certificate(self._certificate.read_bytes())
            facts = certificate_facts(read.public_bytes(Encoding.DER), roots)
            if facts.public_key != self._public_key or facts.role != Role.NODE:
                return "it is for another key or role"
            if not facts.not_before_ms <= _now_ms() <= facts.not_after_ms:
                return "it is not in force"
            public_server_context(self._certificate, self._key)
        except (OSError, ValueError, InvalidCertificate, ssl.SSLError) as error:
            return str(error)
        return facts

    def _take_up(self, seen: CertificateFacts | str | None) -> None:
        if seen is None:
            return
        try:
            for context in self._contexts if isinstance(seen, CertificateFacts) else ():
                context.load_cert_chain(self._certificate, self._key)
        except (OSError, ssl.SSLError) as error:
            seen = str(error)
        if isinstance(seen, str):
            self._fault = f"{self._certificate.name} cannot be used, the one before it stays in force: {seen}"
            log.error("%s", self._fault)
            return
        self._fault, self._ends_ms["node"] = "", seen.not_after_ms
        log.info("the certificate %s is in force", seen.serial)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
