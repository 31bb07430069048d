"""What a payload may look like: strict JSON and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgers import ALICE, BOB, payload_of

from ledger.codes import Refusal, RefusalCode
from ledger.envelope import (
    DEPTH_MAX,
    GAS_LIMIT_MAX,
    INTEGER_BOUND,
    PAYLOAD_BYTES_MAX,
    SIGNERS_MAX,
    parse_payload,
)

TEXT = json.dumps(payload_of([ALICE]))


def payload_bytes(**changes: Any) -> bytes:
    return json.dumps(payload_of([ALICE], **changes)).encode()


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def refused(data: bytes) -> RefusalCode:
    with pytest.raises(Refusal) as caught:
        parse_payload(data)
    return caught.value.code


def test_a_payload_is_read_as_it_was_written() -> None:
    payload = parse_payload(payload_bytes(args={"text": "für", "list": [1, -2, None, True]}, nonce=7))
    assert payload.args == {"text": "für", "list": [1, -2, None, True]}
    assert (payload.signers, payload.nonce, payload.contract) == ((ALICE.signer,), 7, "box")


def test_white_space_and_the_order_of_keys_are_the_writers_business() -> None:
    turned = dict(reversed(payload_of([ALICE]).items()))
    assert parse_payload(json.dumps(turned, indent=4).encode()) == parse_payload(TEXT.encode())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xef\xbb\xbf" + TEXT.encode(), id="byte order mark"),
        pytest.param(TEXT.encode("utf-16"), id="utf-16"),
        pytest.param(TEXT.replace("main", "ma\\u0000").encode("latin-1") + b"\xff", id="not utf-8"),
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(TEXT.encode() + b"{}", id="something behind it"),
        pytest.param(TEXT.replace('"nonce": 0', '"nonce": 0, "nonce": 0').encode(), id="a key twice"),
        pytest.param(TEXT.replace('"key": "a"', '"key": "a", "key": "b"').encode(), id="an inner key twice"),
        pytest.param(TEXT.replace('"nonce"', '"none"').encode(), id="another key"),
        pytest.param(payload_bytes(extra=1), id="a key too many"),
        pytest.param(TEXT.replace("'", '"').replace('"v"', "v").encode(), id="a bare key"),
        pytest.param(b"[" * 20_000, id="nested without end"),
    ],
)
def test_what_is_no_strict_json_is_refused(data: bytes) -> None:
    assert refused(data) is RefusalCode.PAYLOAD_INVALID


@pytest.mark.parametrize("key", sorted(payload_of([ALICE])))
def test_every_key_is_needed(key: str) -> None:
    tree = payload_of([ALICE])
    del tree[key]
    assert refused(json.dumps(tree).encode()) is RefusalCode.PAYLOAD_INVALID


@pytest.mark.parametrize("text", ["1.0", "1e3", "-0.5", "NaN", "Infinity", "-Infinity", "1E400"])
def test_only_integers_are_numbers(text: str) -> None:
    assert refused(TEXT.replace('"value": 1', f'"value": {text}').encode()) is RefusalCode.PAYLOAD_INVALID


@pytest.mark.parametrize("number", [INTEGER_BOUND - 1, -INTEGER_BOUND + 1, 0])
def test_integers_below_the_bound_are_taken(number: int) -> None:
    assert parse_payload(payload_bytes(args={"n": number})).args == {"n": number}


@pytest.mark.parametrize("number", [INTEGER_BOUND, -INTEGER_BOUND, 2**64, 10**4_000])
def test_integers_from_the_bound_on_are_refused(number: int) -> None:
    assert refused(payload_bytes(args={"n": number})) is RefusalCode.PAYLOAD_INVALID


def test_arguments_are_nested_at_most_so_deep() -> None:
    assert parse_payload(payload_bytes(args={"n": nested(DEPTH_MAX - 1)})).args == {"n": nested(DEPTH_MAX - 1)}
    assert refused(payload_bytes(args={"n": nested(DEPTH_MAX)})) is RefusalCode.PAYLOAD_INVALID


@pytest.mark.parametrize("args", [{"t": "\ud800"}, {"\udfff": 1}, {"l": [{"t": "a\udc00b"}]}])
def test_half_a_surrogate_pair_is_no_text(args: dict[str, Any]) -> None:
    """It has no UTF-8 form: whoever reads the block afterwards could not be answered."""
    assert refused(payload_bytes(args=args)) is RefusalCode.PAYLOAD_INVALID


def test_an_escaped_surrogate_pair_is_one_character() -> None:
    assert parse_payload(payload_bytes(args={"t": "\U0001f50c"})).args == {"t": "\U0001f50c"}


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": True},
        {"v": "1"},
        {"chain": "0" * 63},
        {"chain": "A" * 64},
        {"chain": 5},
        {"channel": ""},
        {"channel": "x" * 65},
        {"channel": "grün"},
        {"contract": None},
        {"function": ["put"]},
        {"args": []},
        {"args": None},
        {"nonce": -1},
        {"nonce": True},
        {"nonce": "0"},
        {"expires_at_height": -1},
        {"expires_at_height": None},
        {"gas_limit": False},
        {"signers": []},
        {"signers": ALICE.signer},
        {"signers": [ALICE.signer, ALICE.signer]},
        {"signers": [ALICE.signer.upper()]},
        {"signers": [f"{number:064x}" for number in range(SIGNERS_MAX + 1)]},
    ],
    ids=repr,
)
def test_a_field_of_the_wrong_shape_is_refused(changes: dict[str, Any]) -> None:
    assert refused(payload_bytes(**changes)) is RefusalCode.PAYLOAD_INVALID


@pytest.mark.parametrize(("gas", "good"), [(0, False), (1, True), (GAS_LIMIT_MAX, True), (GAS_LIMIT_MAX + 1, False)])
def test_the_gas_limit_has_bounds(gas: int, good: bool) -> None:
    if good:
        assert parse_payload(payload_bytes(gas_limit=gas)).gas_limit == gas
    else:
        assert refused(payload_bytes(gas_limit=gas)) is RefusalCode.GAS_LIMIT_TOO_HIGH


def test_a_payload_has_a_greatest_size() -> None:
    room = PAYLOAD_BYTES_MAX - len(payload_bytes(args={"t": ""}))
    parse_payload(payload_bytes(args={"t": "x" * room}))
    assert refused(payload_bytes(args={"t": "x" * (room + 1)})) is RefusalCode.TOO_LARGE


def test_as_many_signers_as_allowed_may_sign() -> None:
    signers = [f"{number:064x}" for number in range(SIGNERS_MAX)]
    assert parse_payload(payload_bytes(signers=signers)).signers == tuple(signers)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_refused_with_a_code_or_read(data: bytes) -> None:
    assert refused(data) in (RefusalCode.PAYLOAD_INVALID, RefusalCode.TOO_LARGE)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-INTEGER_BOUND + 1, INTEGER_BOUND - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), _VALUES, max_size=3), st.booleans())
def test_whatever_json_says_within_the_rules_is_read_back(args: dict[str, Any], ascii_only: bool) -> None:
    data = json.dumps(payload_of([ALICE, BOB], args=args), ensure_ascii=ascii_only).encode()
    assert parse_payload(data).args == args
