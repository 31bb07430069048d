"""``python -m cli`` is ``wattq``: child processes are started so, with the interpreter that runs us."""

from __future__ import annotations

from cli.main import main

main()
