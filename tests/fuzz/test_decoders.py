"""Bytes from outside are read or refused, and nothing else comes of them: seeded damage for each decoder."""

from __future__ import annotations

import random

import pytest
from decoder import deepened
from decoders import DECODERS, DEEP, damaged, throw

THROWN = 300
THROWN_AT_LENGTH = 20_000


@pytest.mark.parametrize("count", [THROWN, pytest.param(THROWN_AT_LENGTH, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", DECODERS)
def test_whatever_is_thrown_at_it_is_read_or_refused(name: str, count: int) -> None:
    samples = DECODERS[name].samples()
    for data in (*samples, *map(deepened, samples), *DEEP, b""):
        throw(name, data)
    chance = random.Random(name)
    for number in range(count):
        data = damaged(samples, chance)
        try:
            throw(name, data)
        except Exception as error:
            pytest.fail(f"{name}, thrown number {number}, {data[:200]!r}: {type(error).__name__}: {error}")
