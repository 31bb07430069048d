"""Epochs in the state: the one in force, the one to come, and what happens to them at the end of a block.

``governance/epoch`` is the epoch of the next block; ``governance/next_epoch``, while a change of membership is
pending, says what follows it and after which height. Only the executor moves the one into the other.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from ca.keys import InvalidKey, public_key_from
from ledger.state import Overlay, StateReader
from ledger.values import Value, decode_value, encode_value
from pbft.epoch import Epoch, Skip, Validator
from pbft.messages import new_view_bytes_max
from pbft.quorum import faulty_max

EPOCH_KEY = "governance/epoch"
NEXT_KEY = "governance/next_epoch"
LIMITS_KEY = "governance/limits"
PAST_PREFIX = "governance/past_epoch/"
PAST_EPOCHS_KEPT = 16
"""Ended epochs that stay in the state, so that what a replica did in them can still be held against it."""
VALIDATORS_MAX = 128
NAME_CHARS_MAX = 64
ADDRESS_CHARS_MAX = 260
PORT_MAX = 65_535
HEIGHT_MAX = 2**53


class EpochInvalid(Exception):
    """A value that is no epoch, or one that cannot be; the message says why."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A change of membership that has executed: ``epoch`` follows the block at ``boundary``."""

    boundary: int
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class EpochLimits:
    """The limits of genesis that a boundary depends on."""

    checkpoint_interval_blocks: int
    window_blocks: int


# ------------------------------------------------------------------------------------------------ encoding


def epoch_value(epoch: Epoch) -> dict[str, Value]:
    """An epoch as the state holds it; keys are base64."""
    return {
        "number": epoch.number,
        "first_height": epoch.first_height,
        "validators": [
            {"name": v.name, "public_key": base64.b64encode(v.public_key).decode(), "address": v.address}
            for v in epoch.validators
        ],
        "first_primary": epoch.first_primary,
        "skipped": [{"index": skip.index, "until_height": skip.until_height} for skip in epoch.skipped],
    }


def epoch_from(value: Value) -> Epoch:
    """The reverse, checked; ``EpochInvalid`` for anything else."""
    try:
        made = msgspec.convert(value, _EpochValue, strict=True)
        validators = tuple(
            Validator(v.name, base64.b64decode(v.public_key, validate=True), v.address) for v in made.validators
        )
    except (msgspec.ValidationError, binascii.Error, ValueError):
        # Our own words: a library's differ between versions, and results hold them.
        raise EpochInvalid("not an epoch") from None
    skipped = tuple(Skip(skip.index, skip.until_height) for skip in made.skipped)
    epoch = Epoch(made.number, made.first_height, validators, made.first_primary, skipped)
    check_epoch(epoch)
    if epoch_value(epoch) != value:
        raise EpochInvalid("a key is not in canonical base64")
    return epoch


class _ValidatorValue(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    public_key: str
    address: str


class _SkipValue(msgspec.Struct, forbid_unknown_fields=True):
    index: int
    until_height: int


class _EpochValue(msgspec.Struct, forbid_unknown_fields=True):
    number: int
    first_height: int
    validators: list[_ValidatorValue]
    first_primary: int
    skipped: list[_SkipValue]


def check_epoch(epoch: Epoch) -> None:
    """Whether such an epoch can be; ``EpochInvalid`` says why not."""
    n = len(epoch.validators)
    if not 1 <= n <= VALIDATORS_MAX:
        raise EpochInvalid(f"there are 1 to {VALIDATORS_MAX} validators")
    if not (0 <= epoch.number < HEIGHT_MAX and 1 <= epoch.first_height < HEIGHT_MAX):
        raise EpochInvalid("an impossible number or height")
    if len({v.name for v in epoch.validators}) != n or len(set(epoch.keys)) != n:
        raise EpochInvalid("validators need different names and keys")
    for validator in epoch.validators:
        check_validator(validator)
    _check_leaders(epoch, n)


def new_view_bytes_max_of(window_blocks: int) -> int:
    """What a NEW-VIEW takes at most once there are as many validators as there can be (docs/PROTOCOL.md, Bounds)."""
    return new_view_bytes_max(VALIDATORS_MAX, window_blocks)


def check_validator(validator: Validator) -> None:
    """A printable name, a point of P-256, and "host:port" or nothing; else ``EpochInvalid``."""
    name = validator.name
    if not 1 <= len(name) <= NAME_CHARS_MAX or not all("!" <= char <= "~" for char in name):
        raise EpochInvalid(f"a validator's name is 1 to {NAME_CHARS_MAX} printable ASCII characters")
    try:
        if public_key_from(validator.public_key) != validator.public_key:
            raise InvalidKey("not 65 bytes")
    except InvalidKey as error:
        raise EpochInvalid(f"the key of {name}: {error}") from None
    if validator.address and not _is_address(validator.address):
        raise EpochInvalid(f"the address of {name} is not host:port")


def _is_address(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    if len(text) > ADDRESS_CHARS_MAX or not colon or not host or not all("!" <= char <= "~" for char in host):
        return False
    return port.isascii() and port.isdigit() and len(port) <= len(str(PORT_MAX)) and 1 <= int(port) <= PORT_MAX


def _check_leaders(epoch: Epoch, n: int) -> None:
    skipped = [skip.index for skip in epoch.skipped]
    if skipped != sorted(set(skipped)) or not all(0 <= index < n for index in skipped):
        raise EpochInvalid("skipped validators are different ones, in order")
    if len(skipped) > faulty_max(n):
        raise EpochInvalid("at most f validators are skipped")
    if not 0 <= epoch.first_primary < n or epoch.first_primary in skipped:
        raise EpochInvalid("the first primary is no validator that may lead")


# ------------------------------------------------------------------------------------------------- reading


@lru_cache(maxsize=256)
def _decoded(data: bytes) -> tuple[Epoch, bytes]:
    epoch = epoch_from(decode_value(data))
    return epoch, epoch.hash()


@lru_cache(maxsize=256)
def _decoded_pending(data: bytes) -> Pending:
    value = decode_value(data)
    return Pending(value["boundary"], epoch_from(value["epoch"]))


def epoch_of(reader: StateReader) -> Epoch:
    """The epoch of the block after the one at which ``reader`` stands."""
    return _read(reader)[0]


def epoch_hash_of(reader: StateReader) -> bytes:
    """That epoch's hash."""
    return _read(reader)[1]


def _read(reader: StateReader) -> tuple[Epoch, bytes]:
    entry = reader.get(EPOCH_KEY)
    assert entry is not None, "genesis puts an epoch into the state"
    return _decoded(entry.value)


def pending_of(reader: StateReader) -> Pending | None:
    """The change of membership that is to come, if any."""
    entry = reader.get(NEXT_KEY)
    return None if entry is None else _decoded_pending(entry.value)


def past_epoch_of(reader: StateReader, number: int) -> Epoch | None:
    """The epoch ``number``: in force, or ended and still remembered."""
    current = epoch_of(reader)
    if current.number == number:
        return current
    entry = reader.get(past_key(number))
    return None if entry is None else _decoded(entry.value)[0]


def past_key(number: int) -> str:
    return f"{PAST_PREFIX}{number:012d}"


def limits_of(reader: StateReader) -> EpochLimits | None:
    """None where the state came from no genesis file."""
    entry = reader.get(LIMITS_KEY)
    if entry is None:
        return None
    value = decode_value(entry.value)
    return EpochLimits(value["checkpoint_interval_blocks"], value["window_blocks"])


# -------------------------------------------------------------------------------------------------- changes


def boundary_for(requested: int, height: int, limits: EpochLimits) -> int:
    """The last height of the epoch in which a change executes at ``height``: the first multiple of the checkpoint
    interval at or above both the requested height and a whole window from now."""
    interval = limits.checkpoint_interval_blocks
    least = max(requested, height + limits.window_blocks)
    return -(-least // interval) * interval


def pending_value(pending: Pending) -> dict[str, Value]:
    return {"boundary": pending.boundary, "epoch": epoch_value(pending.epoch)}


def check_pending(value: Value, current: Epoch, height: int, limits: EpochLimits) -> None:
    """Whether a contract may put ``value`` as the next epoch in the block at ``height``; else ``EpochInvalid``."""
    if not isinstance(value, dict) or set(value) != {"boundary", "epoch"} or type(value["boundary"]) is not int:
        raise EpochInvalid("not a boundary and an epoch")
    boundary, epoch = value["boundary"], epoch_from(value["epoch"])
    if boundary != boundary_for(boundary, height, limits):
        raise EpochInvalid("not a boundary, or too near")
    if epoch.number != current.number + 1 or epoch.first_height != boundary + 1:
        raise EpochInvalid("not the epoch that follows")


def end_block(overlay: Overlay, height: int, index: int) -> None:
    """What the end of a block does to epochs; ``index`` is that of its writes' version.

    At the boundary the next epoch comes into force. At a checkpoint where a skip has run out, an epoch without it
    is scheduled, unless another change is pending.
    """
    pending = pending_of(overlay)
    if pending is not None:
        if pending.boundary == height:
            _enter(overlay, pending.epoch, height, index)
        else:
            return
    limits = limits_of(overlay)
    if limits is None or height % limits.checkpoint_interval_blocks:
        return
    epoch = epoch_of(overlay)
    left = tuple(skip for skip in epoch.skipped if skip.until_height > height)
    if left != epoch.skipped:
        boundary = boundary_for(0, height, limits)
        following = Epoch(epoch.number + 1, boundary + 1, epoch.validators, epoch.first_primary, left)
        overlay.apply({NEXT_KEY: encode_value(pending_value(Pending(boundary, following)))}, height, index)


def _enter(overlay: Overlay, epoch: Epoch, height: int, index: int) -> None:
    ended = epoch_of(overlay)
    writes: dict[str, bytes | None] = {
        EPOCH_KEY: encode_value(epoch_value(epoch)),
        NEXT_KEY: None,
        past_key(ended.number): encode_value(epoch_value(ended)),
    }
    if ended.number >= PAST_EPOCHS_KEPT:
        writes[past_key(ended.number - PAST_EPOCHS_KEPT)] = None
    overlay.apply(writes, height, index)
