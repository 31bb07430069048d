"""An application to a CA, and what the answer comes to: a certificate, or why there is none yet, or none at all."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.certificates import RequestFacts, Role, request_facts, subject_of
from ca.codes import prove
from ca.messages import Registration
from sdk.errors import Problem, Refused, SdkError
from sdk.methods import EnrolParams


class AdmissionWaiting(SdkError):
    """An operator has still to decide; the same call again goes on from there."""

    def __init__(self, registration: str) -> None:
        super().__init__(f"registration {registration} waits for an operator's decision")
        self.registration = registration


class CertificateUnfit(SdkError):
    """What came as the certificate is none of the key and the names for which one was asked."""


def application_of(request: bytes, code: str = "") -> EnrolParams:
    """What is sent of a PKCS#10 request (DER) and an admission code: of the code a proof, for this request only."""
    if not code:
        return EnrolParams(request=request)
    shown = prove(code, request_facts(request))
    return EnrolParams(request=request, code_id=shown.id, code_proof=shown.proof)


def check_fits(der: bytes, asked: RequestFacts) -> None:
    """``CertificateUnfit`` unless a certificate is for the key and says what was asked for. Who issued it the chain
    decides."""
    try:
        read = x509.load_der_x509_certificate(der)
        key = read.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        fits = key == asked.public_key and read.subject == subject_of(asked.name, asked.organisation, Role(asked.role))
    except ValueError:
        fits = False
    if not fits:
        raise CertificateUnfit("the certificate that came is not for this key, name, organisation and role")


def certificate_in(told: Registration) -> bytes:
    """The certificate (DER) that was issued; raises ``AdmissionWaiting`` or ``Refused``."""
    if told.state == "waiting":
        raise AdmissionWaiting(told.registration)
    if told.state == "refused":
        reason = told.reason or "no reason was given"
        raise Refused(Problem("ADMISSION_REFUSED", f"The operator refused this registration: {reason}.", 403))
    return told.certificate
