"""What an operator may choose of REST, and the bounds that it keeps."""

from __future__ import annotations

from dataclasses import dataclass

from sdk.configuration import Configuration


@dataclass(frozen=True, slots=True)
class RestOptions:
    """``stranger_body_bytes_max``: of a body that comes without a session. The two paces are calls a second."""

    body_bytes_max: int = 262_144
    stranger_body_bytes_max: int = 131_072
    connections_max: int = 256
    address_calls_per_s_max: int = 1_000
    signer_calls_per_s_max: int = 200
    cors_origins: tuple[str, ...] = ()


def options_of(configuration: Configuration) -> RestOptions:
    limits = configuration.limits
    return RestOptions(
        body_bytes_max=limits.rest_body_bytes_max,
        stranger_body_bytes_max=min(limits.rest_stranger_body_bytes_max, limits.rest_body_bytes_max),
        connections_max=limits.rest_connections_max,
        address_calls_per_s_max=limits.rest_address_calls_per_s_max,
        signer_calls_per_s_max=limits.rest_signer_calls_per_s_max,
        cors_origins=configuration.rest.cors_origins,
    )
