"""Refusals that several calls have: what is not there or not one's own to read, told alike."""

from __future__ import annotations

from api.privacy import Viewer
from api.standing import identity_needed
from sdk.errors import Problem, Refused


def refused(code: str, message: str, status: int) -> Refused:
    return Refused(Problem(code, message, status))


def not_found(what: str, name: str) -> Refused:
    return refused("NOT_FOUND", f"There is no {what} {name}, or it is not yours to read.", 404)


def forbidden(viewer: Viewer) -> Refused:
    if viewer.signer:
        return refused("NOT_YOURS", "Only its parties, the operator and the regulator may read this.", 403)
    return identity_needed(viewer, "Open a session with your key first (POST /v1/challenges).")
