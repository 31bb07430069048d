"""Enrolment at a node: by the CA whose directory it has, or by the one to which it passes everything on.

Both answer the calls of ``sdk.methods.ENROLMENT`` alike, and `wattq ca serve` answers them by the same code.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from api.pace import Pace, Places
from api.pools import BoundedPool
from ca.admission import Admissions
from ca.authority import PASSPHRASE_VARIABLE, Authority, AuthorityError
from ca.certificates import InvalidCertificate
from ca.codes import AdmissionRefused
from ca.messages import CALLER_CHARS_MAX, Application, Inquiry, Renewal, Renewed, Roots, WaitingList, WaitingRoom
from ca.tls import pem_of, trusting_context
from sdk.errors import Problem, Refused, TransportError
from sdk.methods import Method
from sdk.transports import HttpTransport

THREADS, CALLS_MAX, TIMEOUT_S = 1, 32, 60.0
CALLS_PER_S_MAX = 20
"""Of one address, for the CA; more wait for their turn."""
RELAYED_MAX, RELAY_TIMEOUT_S = 32, 15.0
"""Calls passed on that are under way; more are refused as TOO_BUSY."""
RELAYED_OF_ONE_MAX, RELAYED_OF_ONE_PER_S_MAX = 8, 5
"""Of these, those of one address, and how many a second: to the CA all come from one, with ``CALLS_PER_S_MAX``."""
STATUS_OF_REASON = {
    "REGISTRATION_UNKNOWN": 404,
    "CERTIFICATE_UNKNOWN": 404,
    "ALREADY_DECIDED": 409,
    "NAME_TAKEN": 409,
    "RENEWAL_TOO_EARLY": 409,
    "TOO_MANY_WAITING": 503,
    "CHAIN_UNREACHABLE": 503,
}
FORBIDDEN = 403
"""The HTTP status of every other reason for which admission is refused."""

log = logging.getLogger("wattq.enrolment")


class Office(Protocol):
    """Where enrolment is answered."""

    async def answer(self, method: Method[Any, Any], params: Any, origin: str) -> msgspec.Struct:
        """One call of ``sdk.methods.ENROLMENT`` for somebody at the address ``origin``; raises ``Refused``."""

    async def close(self) -> None: ...


class NoOffice:
    """For nodes that neither have a CA nor know of one."""

    async def answer(self, method: Method[Any, Any], params: Any, origin: str) -> msgspec.Struct:
        raise _refused("NOT_AN_AUTHORITY", "This node issues no certificates; ask the one that does.", 421)

    async def close(self) -> None:
        return None


class OwnOffice:
    """By the CA in a directory of this machine."""

    def __init__(self, authority: Authority) -> None:
        self._admissions = Admissions(authority)
        self._roots = authority.chain
        self._pool = BoundedPool("enrolments", THREADS, CALLS_MAX, TIMEOUT_S)
        self._pace = Pace(CALLS_PER_S_MAX)
        self._calls: dict[str, Callable[[Any, str], msgspec.Struct]] = {
            "enrol": self._admissions.apply,
            "registration": self._find,
            "renew": self._renew,
            "waiting": self._waiting,
            "decide": lambda params, _: self._admissions.decide(params),
            "roots": lambda _, __: Roots(self._roots),
        }

    async def answer(self, method: Method[Any, Any], params: Any, origin: str) -> msgspec.Struct:
        if origin:
            await self._pace.turn(origin)
        try:
            return await self._pool.run(self._calls[method.name], params, origin)
        except AdmissionRefused as refusal:
            status = STATUS_OF_REASON.get(refusal.reason, FORBIDDEN)
            raise _refused(refusal.reason, f"{str(refusal)[0].upper()}{str(refusal)[1:]}.", status) from None
        except InvalidCertificate as error:
            raise _refused("REQUEST_INVALID", f"This request cannot be certified: {error}.", 400) from None
        except AuthorityError:
            log.exception("the CA cannot answer %s", method.name)
            raise _refused("AUTHORITY_FAULT", "The CA cannot answer; its operator finds why in its log.", 503) from None

    async def close(self) -> None:
        return None

    def _find(self, params: Inquiry, _: str) -> msgspec.Struct:
        return self._admissions.find(params.registration)

    def _renew(self, params: Renewal, _: str) -> msgspec.Struct:
        issued = self._admissions.renew(params)
        return Renewed(issued.certificate_der, issued.serial)

    def _waiting(self, params: WaitingList, _: str) -> msgspec.Struct:
        return WaitingRoom(self._admissions.waiting_for(params))


class Relay:
    """By the CA at a URL, which is known by the roots that the network accepts. What is passed on is signed by those
    whom it concerns, so this node can change nothing in it; it adds whose it is. None of its users takes all places."""

    def __init__(self, url: str, roots: Callable[[], Sequence[bytes]]) -> None:
        self._url = url
        self._roots = roots
        self._transport: HttpTransport | None = None
        self._under_way = 0
        self._pace, self._places = Pace(RELAYED_OF_ONE_PER_S_MAX), Places(RELAYED_OF_ONE_MAX)

    async def answer(self, method: Method[Any, Any], params: Any, origin: str) -> msgspec.Struct:
        if isinstance(params, Application):
            params = msgspec.structs.replace(params, caller=origin[:CALLER_CHARS_MAX])
        with self._places.one(origin):
            if origin:
                await self._pace.turn(origin)
            return await self._pass_on(method, params)

    async def _pass_on(self, method: Method[Any, Any], params: Any) -> msgspec.Struct:
        if self._under_way >= RELAYED_MAX:
            raise _refused("TOO_BUSY", f"{RELAYED_MAX} enrolments are under way. Try again shortly.", 503)
        transport = self._transport = self._transport or HttpTransport(self._url, self._context())
        self._under_way += 1
        try:
            answer: msgspec.Struct = await transport.call(method, params, timeout_s=RELAY_TIMEOUT_S)
            return answer
        except TransportError as error:
            log.warning("the CA does not answer: %s", error)
            await self.close()  # the next call trusts the roots of then
            raise _refused("AUTHORITY_UNREACHABLE", "The CA does not answer now. Try again shortly.", 503) from None
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    def _context(self) -> Any:
        return trusting_context(pem_of(self._roots())) if self._url.startswith("https:") else None


def office_of(
    directory: Path | None, url: str, roots: Callable[[], Sequence[bytes]], is_revoked: Callable[[str], bool]
) -> Office:
    """A node's: the CA in ``directory``, if it has one, or else the one at ``url``. ``is_revoked``: on the chain."""
    if directory is None:
        return Relay(url, roots) if url else NoOffice()
    authority = Authority.open(directory, os.environ.get(PASSPHRASE_VARIABLE, ""))
    authority.revoked_elsewhere = is_revoked
    return OwnOffice(authority)


def _refused(code: str, message: str, status: int) -> Refused:
    return Refused(Problem(code, message, status))
