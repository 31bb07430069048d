"""Who validates next is what operators signed, or what evidence proves: no other validator is skipped, nor for longer,
and no change that is pending gives way to another."""

from __future__ import annotations

import base64
from hashlib import sha256

from contracts.rules.changes import Changes
from contracts.rules.groups import PARAMETERS, REPORTS
from ledger.accusations import Accusation, judge, read_evidence
from ledger.epochs import EPOCH_KEY, NEXT_KEY, boundary_for, limits_of
from ledger.execution import Call
from ledger.values import Value

SKIP_BLOCKS = PARAMETERS + "skip_blocks"


def next_epoch(call: Call, args: Value, changes: Changes, key: str) -> bool:
    """Whether the pending change is the one that the call says."""
    new, old = changes.new(key), changes.old(key)
    if new is None:
        return call.function == "cancel_change"
    if old is not None:
        return False
    epoch = changes.old(EPOCH_KEY)
    if call.function == "set_validators":
        skipped = _kept_skips(epoch, args["validators"])
        return bool(
            new == _pending(call, changes, args["validators"], args["first_primary"], skipped, args["at_height"])
        )
    if call.function != "report" or not changes.below(REPORTS):
        return False
    index = _index_of(epoch["validators"], _accused(args, changes))
    skip = {"index": index, "until_height": call.height + changes.old(SKIP_BLOCKS)["value"]}
    skipped = _in_order([*epoch["skipped"], skip])
    leader = _leader_after(index, len(epoch["validators"]), [each["index"] for each in skipped])
    return index >= 0 and bool(new == _pending(call, changes, epoch["validators"], leader, skipped, 0))


def report(call: Call, args: Value, changes: Changes, key: str) -> bool:
    """Whether a report is of whom its evidence convicts; once of an epoch, and with the change that it leads to."""
    if call.function != "report" or NEXT_KEY not in changes.raw or changes.old(key) is not None:
        return False
    accused = _accused(args, changes)
    if accused is None:
        return False
    validators = changes.old(EPOCH_KEY)["validators"]
    name = validators[_index_of(validators, accused)]["name"]
    written = {"type": "report", "validator": name, "kind": accused.kind, "height": call.height}
    place = f"{REPORTS}{accused.epoch:012d}/{sha256(_key_of(accused).encode()).hexdigest()}"
    return key == place and bool(changes.new(key) == written)


def _accused(args: Value, changes: Changes) -> Accusation | None:
    evidence = read_evidence(base64.b64decode(args["evidence"], validate=True))
    return None if evidence is None else judge(changes.base, evidence)


def _key_of(accused: Accusation) -> str:
    return base64.b64encode(accused.public_key).decode()


def _index_of(validators: Value, accused: Accusation | None) -> int:
    keys = [validator["public_key"] for validator in validators]
    known = accused is not None and _key_of(accused) in keys
    return keys.index(_key_of(accused)) if accused is not None and known else -1


def _pending(
    call: Call, changes: Changes, validators: Value, first_primary: int, skipped: list[Value], at_height: int
) -> Value:
    """Behind the first checkpoint that is far enough ahead."""
    limits = limits_of(changes.base)
    assert limits is not None, "a network without epochs has no change of them"
    boundary = boundary_for(at_height, call.height, limits)
    epoch = {
        "number": changes.old(EPOCH_KEY)["number"] + 1,
        "first_height": boundary + 1,
        "validators": validators,
        "first_primary": first_primary,
        "skipped": skipped,
    }
    return {"boundary": boundary, "epoch": epoch}


def _kept_skips(epoch: Value, validators: Value) -> list[Value]:
    """Skips go with their validators' keys, as many as may be skipped among the new ones."""
    keys = [validator["public_key"] for validator in validators]
    kept: list[Value] = []
    for skip in epoch["skipped"]:
        key = epoch["validators"][skip["index"]]["public_key"]
        if key in keys and len(kept) < (len(keys) - 1) // 3:
            kept.append({"index": keys.index(key), "until_height": skip["until_height"]})
    return _in_order(kept)


def _in_order(skipped: list[Value]) -> list[Value]:
    return sorted(skipped, key=lambda skip: int(skip["index"]))


def _leader_after(index: int, count: int, barred: list[int]) -> int:
    """The first validator after ``index``, round the list, that may lead."""
    return next(at % count for at in range(index + 1, index + 1 + count) if at % count not in barred)
