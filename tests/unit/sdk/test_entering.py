"""Having the chain know a certificate."""

from __future__ import annotations

from typing import Any, cast

import pytest

from sdk.client import AsyncClient
from sdk.enrolment import enter
from sdk.errors import Problem, Refused


class Client:
    """Stands where the SDK's client does: raises what it is given, in turn."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.calls = list(answers), 0

    async def invoke(self, *call: Any) -> str:
        assert call[:2] == ("registry", "register")
        self.calls += 1
        if code := self.answers.pop(0):
            raise Refused(Problem(code, "No.", 422))
        return "entered"


async def test_a_node_that_is_a_block_behind_keeps_nobody_from_entering() -> None:
    """Whoever registered through one node and again through another was told NONCE_USED, now and then."""
    client = Client("NONCE_USED", "")
    assert cast(str, await enter(cast(AsyncClient, client), b"der")) == "entered"


@pytest.mark.parametrize(("answers", "calls"), [(("NONCE_USED", "NONCE_USED"), 2), (("CERTIFICATE_EXPIRED",), 1)])
async def test_anything_else_is_told(answers: tuple[str, ...], calls: int) -> None:
    client = Client(*answers)
    with pytest.raises(Refused, match=answers[-1]):
        await enter(cast(AsyncClient, client), b"der")
    assert client.calls == calls
