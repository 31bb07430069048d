"""Golden vectors: every machine gives what they say, and one that does not is told before it takes part."""

from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from contracts import golden
from contracts.deployment import DeploymentInvalid, check_deployment
from contracts.golden import EXPECTED, EngineDiffers, check_engine, outcomes
from contracts.machine import PythonMachine
from ledger.execution import ENGINE_VERSION, Call, CallResult
from ledger.state import TransactionView

SECONDS_MAX = 1.0


class Dear(PythonMachine):
    """Takes one gas more than others for what it runs."""

    def run(self, call: Call, view: TransactionView) -> CallResult:
        result = super().run(call, view)
        return replace(result, gas_used=result.gas_used + 1)


class Forgetful(PythonMachine):
    """Writes nothing."""

    def run(self, call: Call, view: TransactionView) -> CallResult:
        result = super().run(call, view)
        view.writes.clear()
        return result


def test_this_machine_gives_what_is_expected() -> None:
    assert outcomes(PythonMachine()) == EXPECTED


def test_they_take_well_under_a_second_of_processor_time() -> None:
    began = time.process_time()
    check_engine()
    assert time.process_time() - began < SECONDS_MAX


@pytest.mark.parametrize("machine", [Dear(), Forgetful()])
def test_a_machine_that_differs_is_named(machine: PythonMachine) -> None:
    with pytest.raises(EngineDiffers, match=rf"engine {ENGINE_VERSION}'s vector '.*' gave"):
        check_engine(machine)


def test_vectors_that_are_missing_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "EXPECTED", {**EXPECTED, "more": ("OK", 1, "")})
    with pytest.raises(EngineDiffers, match="different releases"):
        check_engine()


def test_a_network_does_not_begin_on_a_machine_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "EXPECTED", {})
    with pytest.raises(DeploymentInvalid, match="contracts would not run here as on other nodes"):
        check_deployment({}, {})
