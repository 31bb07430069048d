"""Sections 4.2 to 4.5 together: random loss, duplication, reordering, crashes, restarts; agreement, then liveness."""

from __future__ import annotations

import pytest
from harness import Net

from pbft.events import Tick

ROUNDS = 60
SEEDS = range(200)


def play(seed: int, n: int) -> Net:
    net = Net(n, seed=seed, checkpoint_interval_blocks=4, window_blocks=12, pipeline_depth=4)
    chance = net.random
    faulty = (n - 1) // 3
    loss, twice = chance.choice([0.0, 0.05, 0.3]), chance.choice([0.0, 0.1])
    count = 0
    for _ in range(ROUNDS):
        for _ in range(chance.randrange(3)):
            net.submit(chance.randrange(n), f"tx{count}")
            count += 1
        for _ in range(chance.randrange(40)):
            if not net.wire:
                break
            item = net.wire.pop(chance.randrange(min(len(net.wire), 20)))
            if chance.random() < twice:
                net.wire.append(item)
            if chance.random() >= loss:
                net.deliver(*item)
        down = [node.index for node in net.nodes if not node.up]
        if chance.random() < 0.1 and len(down) < faulty:
            net.crash(chance.choice([i for i in range(n) if i not in down]))
        elif down and chance.random() < 0.2:
            net.restart(down[0])
        if chance.random() < 0.5:
            step = chance.choice([10, 200, 1500, 5000])
            net.now_ms += step
            for node in net.nodes:
                if node.up and node.wake_at_ms <= net.now_ms:
                    net.give(node, Tick())
        net.check_agreement()
    return net


@pytest.mark.row(19)
@pytest.mark.parametrize("seed", SEEDS)
def test_agreement_holds_and_progress_resumes_after_healing(seed: int) -> None:
    net = play(seed, 4 + seed % 4)
    for node in net.nodes:
        if not node.up:
            net.restart(node.index)
    print(f"seed {seed}: {net.picture()}")
    goal = max(node.height for node in net.nodes)
    net.submit(0, "after the storm")
    net.until(lambda: net.all_executed("after the storm") and min(n.height for n in net.nodes) > goal, 120_000)
    net.check_agreement()
    assert not [alarm for node in net.nodes for alarm in node.alarms], "honest replicas raise no alarm"
