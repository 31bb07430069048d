"""`wattq contract`: check, test and profile a contract on this machine; have the operators deploy or upgrade it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NoReturn

import typer

from ca.certificates import InvalidCertificate
from ca.keys import InvalidKey
from cli import failing
from cli.client import GENESIS, NODES, Channel, GenesisFile, Node
from cli.governing import Proposal
from cluster import ClusterError
from contracts.authoring import Facts, Finding, examine
from contracts.catalog import SHIPPED, shipped_sources
from contracts.compiler import is_name
from contracts.parameters import MARKET_PARAMETERS
from contracts.profile import ProfilingMachine
from contracts.testing import GAS_LIMIT, Chain
from ledger.execution import OK
from ledger.genesis import GenesisInvalid
from sdk.client import Outcome
from sdk.errors import Refused, SdkError

app = typer.Typer(
    help="Write contracts: check, test, profile, deploy, upgrade.\n\n"
    "Exit codes: 0 good or done, 1 faults, failed tests or refused, 2 unusable arguments or files,"
    " 3 no node or no quorum answers.",
    no_args_is_help=True,
)
QUIET = "ignore::pytest.PytestDeprecationWarning"
"""What plugins that an author happens to have say of their own options."""
NAME_INVALID = "the file's name is the contract's: a to z, 0 to 9 and _, a letter first, at most 32, and not 'system'"
PYTEST_MISSING = "needs pytest, which is not installed: pip install 'wattquorum[contracts]'"
NO_TESTS_COLLECTED = 5
START_MS = 1_800_000_000_000
ContractFile = Annotated[Path, typer.Argument(help="The contract; its name is the file's without .py.")]
Tests = Annotated[
    list[Path] | None, typer.Option("--tests", "-t", help="Test files; by default test_NAME.py beside the contract.")
]
Keys = Annotated[
    list[Path] | None,
    typer.Option(
        "--key", "-k", help="An operator's key; one of each organisation. By default those beside the genesis file."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def check(file: ContractFile, as_json: Json = False) -> None:
    """Say everything that the language refuses, with line and column, or what the contract is.

    Example: wattq contract check tariffs.py
    """
    source = _source(file)
    facts, findings = examine(source)
    if not is_name(file.stem):
        findings.append(Finding(1, 1, NAME_INVALID))
    if as_json:
        told = {
            "file": str(file),
            "faults": [asdict(finding) for finding in findings],
            **(asdict(facts) if facts else {}),
        }
        typer.echo(json.dumps(told))
    elif facts is not None and not findings:
        _show_facts(file, facts)
    for finding in () if as_json else findings:
        _show_finding(file, source, finding)
    if findings:
        raise typer.Exit(1)


@app.command(name="test")
def run_tests(file: ContractFile, tests: Tests = None, as_json: Json = False) -> None:
    """Run a contract's pytest tests against a chain in memory, beside the shipped contracts.

    Example: wattq contract test tariffs.py --tests test_tariffs.py
    """
    told = _run_tests(file, tests, quiet=as_json)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "passed": told["passed"], "failed": told["failed"]}))
    if told["exit"]:
        raise typer.Exit(1)


@app.command()
def gas(
    file: ContractFile,
    call: Annotated[str, typer.Option(help="Profile one call of this function on a fresh chain, not the tests.")] = "",
    args: Annotated[str, typer.Option(help="The call's arguments as a JSON object.")] = "{}",
    signer: Annotated[
        list[str] | None, typer.Option(help="NAME:ROLE of who signs the call, who is registered first; more for more.")
    ] = None,
    tests: Tests = None,
    every_contract: Annotated[bool, typer.Option("--all", help="Lines of the shipped contracts too.")] = False,
    as_json: Json = False,
) -> None:
    """Show what each line costs, over a contract's tests or in one call. The lines add up to the transactions' gas.

    Example: wattq contract gas tariffs.py --call publish --args '{"prices": [], "days": 1}' --signer sol:seller
    """
    if call:
        told = _profile_call(file, call, args, signer or ["author:prosumer"])
    else:
        told = _run_tests(file, tests, quiet=True)
        if told["exit"]:
            _fail("the tests fail; see `wattq contract test`", 1)
    total = sum(row[2] for row in told["lines"])
    rows = [row for row in told["lines"] if row[2] and (every_contract or row[0] == file.stem)]
    if as_json:
        keys = ("contract", "line", "gas", "runs")
        told["gas"] = total
        told["lines"] = [dict(zip(keys, row, strict=True)) for row in rows]
        typer.echo(json.dumps({"file": str(file), **told}))
        return
    _show_profile(file, rows, total)
    if call:
        typer.echo(f"{call}: {told['code']} {json.dumps(told['value'])}, {total} gas")


@app.command()
def deploy(
    file: ContractFile,
    key: Keys = None,
    node: Node = NODES,
    genesis: GenesisFile = GENESIS,
    channel: Channel = "",
    as_json: Json = False,
) -> None:
    """Have operators of enough organisations put a new contract in force, from the next transaction on.

    Example: wattq contract deploy tariffs.py --key north/operator.key --key south/operator.key
    """
    proposal = Proposal("deploy", {"name": file.stem, "source": _checked(file)}, node, genesis, channel)
    outcome = _govern(proposal, key or [])
    text = f"{file.stem} is deployed by block {outcome.height}; sha256 {outcome.value}"
    _tell(file, outcome, text, as_json)


@app.command()
def upgrade(
    file: ContractFile,
    at: Annotated[int, typer.Option(help="The block with which the new version begins.")],
    key: Keys = None,
    node: Node = NODES,
    genesis: GenesisFile = GENESIS,
    channel: Channel = "",
    as_json: Json = False,
) -> None:
    """Have operators of enough organisations replace a contract, from a block on; its `migrate()` runs there first.

    Shipped contracts can be upgraded too, as long as they keep every way in.

    Example: wattq contract upgrade tariffs.py --at 20000 --key north/operator.key --key south/operator.key
    """
    source = _checked(file, shipped=True)
    proposal = Proposal("upgrade", {"name": file.stem, "source": source, "at_height": at}, node, genesis, channel)
    outcome = _govern(proposal, key or [])
    _tell(file, outcome, f"{file.stem} is upgraded with block {at}; sha256 {outcome.value}", as_json)


# ------------------------------------------------------------------------------------------------ showing


def _tell(file: Path, outcome: Outcome, text: str, as_json: bool) -> None:
    told = {"contract": file.stem, "sha256": outcome.value, "height": outcome.height, "tx_id": outcome.tx_id}
    typer.echo(json.dumps(told) if as_json else f"{text}, transaction {outcome.tx_id}")


def _show_facts(file: Path, facts: Facts) -> None:
    typer.echo(f"{file}: good; {facts.bytes} bytes, {facts.nodes} nodes, sha256 {facts.sha256}")
    for entry in facts.entries:
        names = f"({', '.join(entry.names)})" if entry.names else ""
        typer.echo(f"  @{entry.kind}{names} {entry.function}({', '.join(entry.parameters)})")


def _show_finding(file: Path, source: str, finding: Finding) -> None:
    """As compilers do it: place, sentence, the line, and a mark below it."""
    typer.echo(f"{file}:{finding.line}:{finding.column}: {finding.sentence}", err=True)
    lines = source.split("\n")
    if finding.line <= len(lines):
        typer.echo(f"    {lines[finding.line - 1]}", err=True)
        typer.echo(f"    {' ' * (finding.column - 1)}^", err=True)


def _show_profile(file: Path, rows: list[list[Any]], total: int) -> None:
    texts = {**shipped_sources(), file.stem: _source(file)}
    typer.echo("      gas   share    runs  line")
    for contract, line, spent, runs in rows:
        text = texts[contract].split("\n")[line - 1] if line else "(before the first line)"
        place = f"{line}" if contract == file.stem else f"{contract}:{line}"
        typer.echo(f"{spent:9} {100 * spent / total:6.1f}% {runs:7}  {place}: {text}")
    shown = sum(row[2] for row in rows)
    typer.echo(f"{shown:9} {100 * shown / max(1, total):6.1f}%          of {total} gas in all")


# ------------------------------------------------------------------------------------------------ running


def _profile_call(file: Path, function: str, args: str, signers: list[str]) -> dict[str, Any]:
    try:
        given = json.loads(args)
    except (ValueError, RecursionError) as error:
        _fail(f"the arguments are not JSON: {error}", 2)
    if not isinstance(given, dict):
        _fail("the arguments are a JSON object", 2)
    machine = ProfilingMachine()
    sources = {**shipped_sources(), file.stem: _checked(file)}
    chain = Chain(sources, MARKET_PARAMETERS, START_MS, machine=machine)
    names = [signer.partition(":")[0] for signer in signers]
    for signer in signers:
        name, _, role = signer.partition(":")
        chain.user(name, role)
    entry = machine.entry(chain.state, file.stem, function)
    if entry is not None and entry.kind == "view":
        result = chain.view(file.stem, function, given, names)
    else:
        result = chain.submit(f"{file.stem}.{function}", given, *names, gas=GAS_LIMIT)
    rows = [[name, line, found.gas, found.runs] for (name, line), found in sorted(machine.lines.items())]
    if result.code != OK and not result.gas_used:
        _fail(f"{function}: {result.code} {result.message}", 1)
    return {"code": result.code, "value": result.value, "lines": rows}


def _run_tests(file: Path, tests: list[Path] | None, *, quiet: bool) -> dict[str, Any]:
    _checked(file)
    chosen = tests or [file.with_name(f"test_{file.name}")]
    for path in chosen:
        if not path.exists():
            _fail(f"{path}: there are no tests; write some, or say where with --tests", 2)
    if find_spec("pytest") is None:
        _fail(PYTEST_MISSING, 2)
    with TemporaryDirectory() as place:
        report = Path(place) / "report.json"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", QUIET]
        command += [
            "-p",
            "contracts.fixtures",
            "--contract",
            str(file),
            "--contract-report",
            str(report),
            *map(str, chosen),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        typer.echo(done.stdout + done.stderr, err=quiet, nl=False)
        if not report.exists() or done.returncode == NO_TESTS_COLLECTED:
            _fail("pytest ran no tests", 2)
        told: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return {**told, "exit": done.returncode}


def _source(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        _fail(f"{file}: {error}", 2)


def _govern(proposal: Proposal, keys: list[Path]) -> Outcome:
    """Submit what the operators sign; ends the command if it fails."""
    try:
        return asyncio.run(proposal.submitted(keys))
    except Refused as refusal:
        _fail(str(refusal), 1)
    except (GenesisInvalid, InvalidKey, InvalidCertificate, ClusterError, OSError, ValueError) as error:
        _fail(str(error), 2)
    except SdkError as error:
        _fail(str(error), 3)


def _checked(file: Path, *, shipped: bool = False) -> str:
    """The contract's source; ends the command if it is no contract, or has a shipped one's name where it may not."""
    source = _source(file)
    if file.stem in SHIPPED and not shipped:
        _fail(f"{file}: {file.stem} is the name of a shipped contract; choose another", 2)
    _, findings = examine(source)
    for finding in findings:
        _show_finding(file, source, finding)
    if findings:
        raise typer.Exit(1)
    return source


def _fail(message: str, code: int) -> NoReturn:
    failing.fail("wattq contract", message, code)
