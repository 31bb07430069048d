"""An application to a CA, and what the answer comes to: a certificate, or why there is none yet, or none at all."""

from __future__ import annotations

from ca.certificates import request_facts
from ca.codes import prove
from ca.messages import Registration
from sdk.errors import Problem, Refused, SdkError
from sdk.methods import EnrolParams


class AdmissionWaiting(SdkError):
    """An operator has still to decide; the same call again goes on from there."""

    def __init__(self, registration: str) -> None:
        super().__init__(f"registration {registration} waits for an operator's decision")
        self.registration = registration


def application_of(request: bytes, code: str = "") -> EnrolParams:
    """What is sent of a PKCS#10 request (DER) and an admission code: of the code a proof, for this request only."""
    if not code:
        return EnrolParams(request=request)
    shown = prove(code, request_facts(request))
    return EnrolParams(request=request, code_id=shown.id, code_proof=shown.proof)


def certificate_in(told: Registration) -> bytes:
    """The certificate (DER) that was issued; raises ``AdmissionWaiting`` or ``Refused``."""
    if told.state == "waiting":
        raise AdmissionWaiting(told.registration)
    if told.state == "refused":
        reason = told.reason or "no reason was given"
        raise Refused(Problem("ADMISSION_REFUSED", f"The operator refused this registration: {reason}.", 403))
    return told.certificate
