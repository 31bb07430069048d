"""Writes `sdk/calls/`: one typed function for each that a shipped contract lets people call or view.

`calls.py` writes; `calls.py --check` only compares, and exits with 1 if a file is stale. The functions' docstrings are
the contracts' own, so that an editor shows units and errors where they are needed.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from contracts.catalog import shipped_sources

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "sdk" / "calls"
TYPES = {"list": "list[Any]", "dict": "dict[str, Any]"}
KINDS = {"export": "Call", "view": "View"}
HEAD = '''"""Calls of the contract `{name}`, with its own words. Written by scripts/calls.py; do not edit."""

from __future__ import annotations

{imports}

'''


def kind_of(function: ast.FunctionDef) -> str | None:
    """``Call`` for what anybody may submit, ``View`` for what reads only, None for what is the contracts' own."""
    for mark in function.decorator_list:
        name = mark.func if isinstance(mark, ast.Call) else mark
        if isinstance(name, ast.Name) and name.id in KINDS:
            return KINDS[name.id]
    return None


def written(contract: str, function: ast.FunctionDef, kind: str) -> str:
    names = [argument.arg for argument in function.args.args]
    typed = ["*", *(f"{a.arg}: {type_of(a.annotation)}" for a in function.args.args)] if names else []
    given = ", ".join(f'"{name}": {name}' for name in names)
    head = f"def {function.name}({', '.join(typed)}) -> {kind}:"
    return f'{head}\n{docstring(function)}    return {kind}("{contract}", "{function.name}", {{{given}}})\n'


def docstring(function: ast.FunctionDef) -> str:
    text = ast.get_docstring(function)
    if not text:
        return ""
    lines = text.replace("\\", "\\\\").splitlines()
    closing = '"""\n' if len(lines) == 1 else '\n    """\n'
    return '    """' + "\n".join([lines[0], *(f"    {line}" if line else "" for line in lines[1:])]) + closing


def type_of(annotation: ast.expr | None) -> str:
    name = ast.unparse(annotation) if annotation is not None else "Any"
    return TYPES.get(name, name)


def module_of(contract: str, source: str) -> str:
    """The text of ``sdk/calls/<contract>.py``; empty if nobody may call anything of it."""
    found = [(f, kind) for f in ast.parse(source).body if isinstance(f, ast.FunctionDef) and (kind := kind_of(f))]
    if not found:
        return ""
    functions = "\n\n".join(written(contract, function, kind) for function, kind in found)
    kinds = ", ".join(sorted({kind for _, kind in found}))
    typing = ["from typing import Any", ""] if "Any" in functions else []
    return formatted(
        HEAD.format(name=contract, imports="\n".join([*typing, f"from sdk.calling import {kinds}"])) + functions
    )


def formatted(text: str) -> str:
    """As `ruff format` would leave it."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(PLACE / "any.py"), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def main() -> int:
    texts = {PLACE / f"{name}.py": module_of(name, source) for name, source in sorted(shipped_sources().items())}
    texts = {path: text for path, text in texts.items() if text}
    if "--check" in sys.argv[1:]:
        stale = [path.name for path, text in texts.items() if not path.exists() or path.read_text("utf-8") != text]
        for name in stale:
            print(f"calls: sdk/calls/{name} is stale: run .venv/bin/python scripts/calls.py", file=sys.stderr)
        return 1 if stale else 0
    PLACE.mkdir(exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
