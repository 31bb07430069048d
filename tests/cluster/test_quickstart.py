"""docs/QUICKSTART.md, command by command, as a newcomer types it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from network import free_ports

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
PORTS = {"peer_port": 26600, "rest_port": 26601, "client_port": 26602}
NODES = 4
END = "@@ end of command"


@dataclass
class Step:
    """A command, and the lines that it is said to print; ``…`` stands for anything, alone for any lines."""

    command: str
    expected: list[str] = field(default_factory=list)


def steps_of(text: str) -> list[Step]:
    steps: list[Step] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append(Step(line.removeprefix("$ ")))
            else:
                steps[-1].expected.append(line)
    return steps


def fits(expected: list[str], printed: str) -> bool:
    """Whether the lines come in this order; a line of ``…`` alone allows any others between."""
    pattern = "\n".join("(?s:.*)" if line == "…" else re.escape(line).replace("…", ".*") for line in expected)
    return re.fullmatch(pattern, "\n".join(line.rstrip() for line in printed.rstrip("\n").splitlines())) is not None


def moved(text: str, ports: dict[int, int]) -> str:
    return re.sub(r"\b266\d\d\b", lambda found: str(ports[int(found.group())]), text)


async def test_the_quick_start_is_true_word_by_word(tmp_path: Path) -> None:
    usual = [base + 10 * node for node in range(NODES) for base in PORTS.values()]
    ports = dict(zip(usual, free_ports(len(usual)), strict=True))
    own = {
        f"WATTQ_NODE__NODE{node + 1}__{key.upper()}": str(ports[base + 10 * node])
        for node in range(NODES)
        for key, base in PORTS.items()
    }
    steps = steps_of(moved((ROOT / "docs" / "QUICKSTART.md").read_text("utf-8"), ports))
    assert len(steps) > 20
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    own |= {"WATTQ_NODES": f"http://127.0.0.1:{ports[26601]}", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    shell = await asyncio.create_subprocess_exec(
        "bash", cwd=tmp_path, env={**os.environ, **own}, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, limit=1 << 20,
    )  # fmt: skip
    assert shell.stdin is not None
    assert shell.stdout is not None
    try:
        for step in steps:
            shell.stdin.write(f'{step.command}\nended=$?; echo; echo "{END} $ended"\n'.encode())
            printed = (await shell.stdout.readuntil(f"\n{END} ".encode())).decode().removesuffix(f"\n{END} ")
            code = int(await shell.stdout.readline())
            assert code == 0, f"$ {step.command}\n{printed}"
            said = "\n".join(step.expected)
            assert fits(step.expected, printed), f"$ {step.command}\n{printed}\nbut the document says\n{said}"
    finally:
        shell.stdin.write(b"wattq cluster down -d wattquorum; exit\n")
        await shell.wait()
