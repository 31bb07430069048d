"""What ``sandbox.mode`` comes to: a worker where it can be had, else this process, or an error if it is demanded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from network import configuration_text
from walled import needs_root, needs_seccomp

from cli.contracts import shipped_contracts
from cluster import prepare
from contracts.machine import PythonMachine
from contracts.sandbox import bubblewrap, choice, walls
from contracts.sandbox.choice import Sandbox, SandboxUnavailable, choose
from contracts.sandbox.machine import WorkerMachine
from contracts.sandbox.process import Process, WorkerFailed
from contracts.testing import Chain
from sdk.configuration import parse

COUNTER = '@export("*")\ndef run():\n    n = get("n")\n    put("n", 1 if n is None else n + 1)\n    return get("n")\n'
STRANGER = 12_345
"""A user id that is neither root's nor nobody's."""


def runs(sandbox: Sandbox) -> bool:
    """Whether a contract runs in it."""
    machine = sandbox.machine()
    try:
        chain = Chain({"main": COUNTER}, {}, machine=machine)
        return [chain.call("main", "run", {}, ["a"]).value for _ in range(2)] == [1, 2]
    finally:
        if isinstance(machine, WorkerMachine):
            machine.close()


def unable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Process:
        raise WorkerFailed("no processes here")

    monkeypatch.setattr(choice, "Process", fail)


@pytest.mark.skipif(sys.platform != "linux", reason="workers are for Linux")
def test_a_worker_is_what_is_taken_where_it_can_be_had() -> None:
    sandbox = choose("auto")
    assert sandbox.mode == "worker"
    assert runs(sandbox)


def test_this_process_is_taken_where_no_worker_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    unable(monkeypatch)
    sandbox = choose("auto")
    assert sandbox.mode == "in-process"
    assert isinstance(sandbox.machine(), PythonMachine)
    assert runs(sandbox)
    assert "no processes here" in str(sandbox)


def test_this_process_is_taken_elsewhere_than_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    sandbox = choose("auto")
    assert (sandbox.mode, sandbox.missing) == ("in-process", ("workers are for Linux, this is darwin",))


@pytest.mark.parametrize("mode", ["worker", "bubblewrap"])
def test_a_mode_that_is_demanded_and_cannot_be_had_is_refused_by_name(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unable(monkeypatch)
    monkeypatch.setattr(bubblewrap, "found", lambda: None)
    with pytest.raises(SandboxUnavailable, match=f"sandbox.mode is {mode}: "):
        choose(mode)


def test_a_demanded_worker_without_seccomp_is_refused_and_an_automatic_one_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a machine of an architecture that has no filter."""
    boot = "import platform; platform.machine = lambda: 'riscv64'; "

    def strange() -> Process:
        def wrap(command: list[str]) -> list[str]:
            at = command.index("-c") + 1
            return [*command[:at], boot + command[at], *command[at + 1 :]]

        return Process(wrap)  # type: ignore[arg-type]  # it gets a list

    monkeypatch.setattr(choice, "Process", strange)
    with pytest.raises(SandboxUnavailable, match="no filter for riscv64"):
        choose("worker")
    sandbox = choose("auto")
    assert sandbox.mode == "worker"
    assert "no filter for riscv64" in str(sandbox)
    assert runs(sandbox)


@pytest.mark.skipif(bubblewrap.found() is None, reason="bubblewrap is not installed: sudo apt install bubblewrap")
def test_bubblewrap_holds_a_worker() -> None:
    try:
        sandbox = choose("bubblewrap")
    except SandboxUnavailable as error:
        pytest.skip(f"bubblewrap cannot make namespaces here: {error}")
    assert runs(sandbox)


def test_bubblewrap_shows_only_what_python_needs_and_nothing_to_write() -> None:
    command = bubblewrap.wrapped(["python"])
    assert command[-2:] == ["--", "python"]
    assert {"--unshare-all", "--die-with-parent"} <= set(command)
    assert not {"--bind", "--dev-bind", "--share-net", "/", "/etc/passwd"} & set(command)


def test_what_is_chosen_and_not_used_is_ended() -> None:
    workers: list[Process] = []

    def start() -> Process:
        workers.append(Process())
        return workers[-1]

    Sandbox.tried("worker", start).close()
    with pytest.raises(ProcessLookupError):
        os.kill(workers[0].pid, 0)


def test_a_root_without_the_right_to_switch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*ids: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setgroups", refuse)
    assert walls.become_nobody() == ["the user cannot be switched: Operation not permitted"]


AS_STRANGER = """
import json
from contracts.sandbox.choice import choose
from contracts.sandbox.machine import WorkerMachine
from contracts.testing import Chain
from sdk.configuration import parse
sandbox = choose("worker")
chain = Chain({"main": %r}, {}, machine=sandbox.machine())
print(json.dumps([sandbox.mode, sandbox.missing, chain.call("main", "run", {}, ["a"]).value]))
"""


@needs_seccomp
@needs_root
def test_a_worker_runs_without_root_and_says_what_is_missing() -> None:
    """This test drops its privileges, but for reading files: the interpreter may lie in root's home."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv, which drops privileges, is not installed: sudo apt install util-linux")
    drop = [setpriv, f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    keep = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    script = [sys.executable, "-B", "-c", AS_STRANGER % COUNTER]
    done = subprocess.run([*drop, *keep, *script], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    mode, missing, value = json.loads(done.stdout)
    assert (mode, value) == ("worker", 1)
    assert missing == ["no switch of user: the worker was not started by root"]


def test_a_node_ends_with_2_and_the_reason_if_its_sandbox_cannot_be_had(tmp_path: Path) -> None:
    text = configuration_text(4, '[sandbox]\nmode = "bubblewrap"')
    prepare(tmp_path / "net", parse(text, "test"), text, shipped_contracts())
    command = [sys.executable, "-m", "node", "--config", str(tmp_path / "net" / "cluster.toml"), "--name", "node1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/nowhere"})
    assert done.returncode == 2
    assert done.stderr == "node node1: sandbox.mode is bubblewrap: there is no program bwrap on PATH\n"
