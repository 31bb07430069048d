"""Measuring this machine: what sign, verify, hash, sync, send, encode, decode and the core's steps take."""

from __future__ import annotations

import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import fmean, median

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ca.keys import SigningKey
from ca.signatures import verify
from pbft.events import Event, Executed, Instant, Output, Received, Submitted
from pbft.messages import (
    Batch,
    Commit,
    Forward,
    Message,
    Outcome,
    Prepare,
    PrePrepare,
    Proposal,
    Statement,
    Status,
    decode_message,
    encode_batch,
    encode_message,
)
from pbft.replica import Replica
from sim.scale.costs import KB, Costs, Line, Step
from sim.scale.measure_link import measure_frame
from sim.scale.network import lan
from sim.scale.node import SIGNATURE
from sim.scale.world import ScaleWorld, Setting

ROUNDS = 9
"""Of which the quickest counts: the others were disturbed."""
NODES_FEW, NODES_MANY = 4, 64
"""The sizes between which a step's growth is measured; the rest lies on the line through both."""
ENVELOPE = bytes(700)
SYNCS = 30
BURSTS = 4


def measure(directory: Path) -> Costs:
    """About ten seconds. ``directory``: on the disk whose sync is to be measured."""
    key, message = SigningKey.generate(), os.urandom(160)
    signature = key.sign(message)
    block = bytes(64 * KB)
    cipher, nonce = AESGCM(bytes(32)), bytes(12)
    encode, decode = _codecs()
    frame_us = measure_frame()
    return Costs(
        machine=f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores",
        sign_us=_us(lambda: key.sign(message), 100),
        verify_us=_us(lambda: verify(key.public_key, signature, message), 100),
        fsync_us=_sync(directory),
        hash_us_per_kb=_us(lambda: sha256(block).digest(), 50) / 64,
        tls_us_per_kb=_us(lambda: cipher.encrypt(nonce, block, None), 50) / 64,
        send_us=frame_us,
        receive_us=frame_us,
        encode=encode,
        decode=decode,
        step=_steps(),
    )


def _us(call: Callable[[], object], times: int) -> float:
    """Microseconds of one call, in the quickest of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.thread_time_ns()
        for _ in range(times):
            call()
        best = min(best, (time.thread_time_ns() - began) / times / 1_000)
    return round(best, 3)


def _sync(directory: Path) -> float:
    path = directory / "sync.probe"
    took = []
    try:
        with path.open("wb") as file:
            for _ in range(SYNCS):
                file.write(bytes(4 * KB))
                file.flush()
                began = time.perf_counter_ns()
                os.fsync(file.fileno())
                took.append((time.perf_counter_ns() - began) / 1_000)
    finally:
        path.unlink(missing_ok=True)
    return round(median(took), 1)


def _codecs() -> tuple[dict[str, Line], dict[str, Line]]:
    statement = Statement(7, bytes(32), bytes(32), bytes(32), bytes(32))
    vote = (3, 70_000, bytes(range(32)), 5, SIGNATURE)
    fixed: list[Message] = [Prepare(*vote), Commit(*vote), Outcome(statement, 5, SIGNATURE), Status(0, 3, True, 7, 7)]
    encode, decode = {}, {}
    for message in fixed:
        encode[type(message).__name__], decode[type(message).__name__] = _line(message, message)
    small, large = (encode_batch(Batch("main", 1, (ENVELOPE,) * count)) for count in (1, 300))
    proposal = PrePrepare(*vote)
    encode["Proposal"], decode["Proposal"] = _line(Proposal(proposal, small), Proposal(proposal, large))
    encode["Forward"], decode["Forward"] = _line(Forward((ENVELOPE,)), Forward((ENVELOPE,) * 300))
    return encode, decode


def _line(small: Message, large: Message) -> tuple[Line, Line]:
    """Costs of encoding and decoding from a small and a large message of a kind; equal ones: by message alone."""
    points = []
    for message in (small, large):
        data = encode_message(message)
        points.append(
            (len(data) / KB, _us(partial(encode_message, message), 200), _us(partial(decode_message, data), 200))
        )
    (size, encode, decode), (size_large, encode_large, decode_large) = points
    if size == size_large:
        return Line(encode), Line(decode)
    slopes = [(b - a) / (size_large - size) for a, b in ((encode, encode_large), (decode, decode_large))]
    slopes = [round(max(0.0, slope), 4) for slope in slopes]
    return Line(encode, slopes[0]), Line(decode, slopes[1])


class _Timer:
    """Takes the core's steps and times them, by kind and number of transactions."""

    def __init__(self) -> None:
        self.taken: dict[str, list[tuple[int, float]]] = defaultdict(list)

    def __call__(self, replica: Replica, event: Event, now: Instant) -> Output:
        began = time.thread_time_ns()
        output = replica.step(event, now)
        took = (time.thread_time_ns() - began) / 1_000
        kind, transactions = _kind(event)
        for send in output.send:
            if isinstance(send.message, Proposal) and send.to is None:
                kind, transactions = "propose", len(send.message.body) // len(ENVELOPE)
        self.taken[kind].append((transactions, took))
        return output


def _kind(event: Event) -> tuple[str, int]:
    match event:
        case Received(_, message, batch):
            return type(message).__name__, 0 if batch is None else len(batch.tx_ids)
        case Submitted(requests, _):
            return "Submitted", len(requests)
        case Executed():
            return "Executed", len(event.tx_ids)
        case _:
            return type(event).__name__, 0


def _steps() -> dict[str, Step]:
    """Steps of networks on free machines: medians, and per transaction and per replica lines through two of them."""
    _run(NODES_FEW, 4, BURSTS)
    few, many = _run(NODES_FEW, 200, 4 * BURSTS).taken, _run(NODES_MANY, 1, BURSTS).taken
    steps = {}
    for kind in sorted(few):
        per_tx = _slope(few[kind])
        at_few = median(took - per_tx * transactions for transactions, took in few[kind])
        at_many = median(took - per_tx * transactions for transactions, took in many.get(kind) or [(0, at_few)])
        per_node = max(0.0, (at_many - at_few) / (NODES_MANY - NODES_FEW))
        base = max(0.0, at_few - per_node * NODES_FEW)
        steps[kind] = Step(round(base, 3), round(per_node, 4), round(per_tx, 4))
    return steps


def _slope(points: list[tuple[int, float]]) -> float:
    """What a transaction adds: between the medians of the steps with few and of those with many transactions."""
    middle = fmean(transactions for transactions, _ in points)
    light = [point for point in points if point[0] <= middle]
    heavy = [point for point in points if point[0] > middle]
    if not heavy:
        return 0.0
    run = fmean(transactions for transactions, _ in heavy) - fmean(transactions for transactions, _ in light)
    return max(0.0, (median(took for _, took in heavy) - median(took for _, took in light)) / run)


def _run(nodes: int, transactions: int, bursts: int) -> _Timer:
    """Bursts of transactions, every other of one only, handed to one node after another."""
    timer = _Timer()
    world = ScaleWorld(Setting(lan(), Costs.free(), tx_bytes=len(ENVELOPE)), nodes, timer)
    for burst in range(bursts):
        for _ in range(transactions if burst % 2 else 1):
            world.submit(burst % nodes)
        world.run(200 * (burst + 1))
    return timer
