"""Logs: JSON lines or readable text, rotating by size, never holding a key or a payload."""

from __future__ import annotations

import json
import logging
import logging.handlers
import time
from pathlib import Path

from sdk import request_ids

OWN = "wattq"
"""Our loggers are this one and those below it."""
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class JsonFormatter(logging.Formatter):
    """One object a line: time (UTC), level, logger, message, and the number of the request that it is about."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if number := request_ids.current():
            line["request"] = number
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same as readable text."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        number = request_ids.current()
        return f"{super().format(record)} [{number}]" if number else super().format(record)


def set_level(logger: str, level: str) -> bool:
    """Have a logger, and those below it that have no level of their own, say ``level`` and what is graver; all of them
    for ``logger`` "". With the level "inherit" it is as the one above it again. False if there is no such logger."""
    if logger and logger not in logging.root.manager.loggerDict:
        return False
    if level != "inherit":
        logging.getLogger(logger).setLevel(LEVELS[level])
    elif logger:
        logging.getLogger(logger).setLevel(logging.NOTSET)
    return True


def reset_levels(level: str) -> None:
    """Have everything say ``level`` and what is graver: what was set for our single loggers is taken back."""
    for name in logging.root.manager.loggerDict:
        if name.split(".")[0] == OWN:
            logging.getLogger(name).setLevel(logging.NOTSET)
    logging.getLogger().setLevel(LEVELS[level])


def levels() -> dict[str, str]:
    """The loggers that have a level of their own, and "", which all others follow."""
    found = {name: logging.getLogger(name) for name in ("", *sorted(logging.root.manager.loggerDict))}
    return {name: logging.getLevelName(each.level).lower() for name, each in found.items() if each.level}


def set_up_logs(path: Path, level: str, style: str, file_bytes_max: int, files_max: int) -> None:
    """Send everything to ``path``; at ``file_bytes_max`` a new file begins, ``files_max`` old ones are kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=file_bytes_max, backupCount=files_max)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
    logging.getLogger("pymodbus").setLevel(logging.ERROR)
