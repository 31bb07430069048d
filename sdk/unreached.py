"""Why an HTTP call had no answer, in words for a person."""

from __future__ import annotations

import aiohttp


def why_unreached(error: Exception) -> str:
    """As the system says it: aiohttp's own texts of connections show a TLS context as an object with its address."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"Cannot connect: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"Cannot connect: {error.os_error}"
    return f"{type(error).__name__}: {error}"
