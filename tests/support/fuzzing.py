"""Schemathesis on a node's REST: a process of its own, configured by a file."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio import subprocess
from dataclasses import dataclass
from pathlib import Path

import acceptance

HOOKS = Path(__file__).with_name("fuzz_hooks.py")
NOT_FUZZED = "streams"
"""The tag of what never ends: these have tests of their own."""
DOCUMENTED_5XX = (503, 504)
"""No fault of the node's: not certified yet, too busy, no quorum in time."""
REFUSALS = (400, 401, 403, 404, 409, 410, 413, 421, 422, 429, 431, *DOCUMENTED_5XX)
"""What has another shape than the schema's is refused with one of these, which of them is another matter; what has its
shape: see ``acceptance``."""
STUMBLED = "AST constructor recursion depth mismatch"
"""What CPython before 3.11.5 now and then raises in Hypothesis, where garbage is collected while a lambda's source is
parsed (gh-106905)."""
BATCHES = "/batch$"
"""What is wrong in one line is told in that line's answer: the whole is 200."""


@dataclass(frozen=True)
class Fuzz:
    """``names``: values by parameter that lead to something, mixed with those that chance makes."""

    url: str
    token: str
    names: dict[str, list[str] | list[int]]

    def configuration(self) -> str:
        """The text of ``schemathesis.toml``."""
        dictionaries = [f"{name} = {{ values = {json.dumps(values)} }}" for name, values in self.names.items()]
        parameters = [
            f'"{place}.{name}" = {{ dictionary = "{name}", probability = 0.5 }}'
            for name in self.names
            for place in ("path", "query")
        ]
        lines = [
            f"hooks = {json.dumps(str(HOOKS))}",
            "request-timeout = 30",
            "max-redirects = 0",
            "continue-on-failure = true",
            "[warnings]",
            "enabled = false",
            "[auth.openapi]",
            f'session = {{ bearer = "{self.token}" }}',
            "[checks]",
            f"positive_data_acceptance.expected-statuses = {acceptance.expected()}",
            f"not_a_server_error.expected-statuses = {['2xx', '3xx', '4xx', *DOCUMENTED_5XX]}",
            f"negative_data_rejection.expected-statuses = {[*REFUSALS, 405, 415]}",
            "[[operations]]",
            f"include-path-regex = {json.dumps(BATCHES)}",
            "checks.negative_data_rejection.enabled = false",
            *acceptance.exceptions(),
            "[dictionaries]",
            *dictionaries,
            "[parameters]",
            *parameters,
        ]
        return "\n".join(lines) + "\n"

    async def run(self, home: Path, *options: str) -> tuple[int, str]:
        """Exit code, and all that was found; once more where the interpreter stumbled and not the node."""
        code, output = await self._run(home, *options)
        return await self._run(home, *options) if code and STUMBLED in output else (code, output)

    async def _run(self, home: Path, *options: str) -> tuple[int, str]:
        (home / "schemathesis.toml").write_text(self.configuration(), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run", "--no-color"),
            *(f"{self.url}/openapi.json", "--exclude-tag", NOT_FUZZED, *options),
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, output.decode()
