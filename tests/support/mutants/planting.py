"""Planting a bug: one piece of a function's source text is replaced, and the function compiled again in its module.

A mutant whose text is no longer found, or found more than once, fails loudly: it would test nothing.
"""

from __future__ import annotations
import __future__

import inspect
import sys
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


class MutantLost(Exception):
    """The code that a mutant changes is not there any more; the mutant must be moved to where it went."""


def plant(patch: pytest.MonkeyPatch, owner: Any, name: str, *changes: tuple[str, str]) -> None:
    """Replace texts, (old, new), in the function or property ``name`` of a class or module, until ``patch`` ends."""
    original = inspect.getattr_static(owner, name, None)
    if original is None:
        raise MutantLost(f"{owner.__name__}.{name} is gone")
    source = textwrap.dedent(inspect.getsource(_function(original)))
    for old, new in changes:
        if source.count(old) != 1:
            raise MutantLost(f"{owner.__name__}.{name} has {source.count(old)} times {old!r}")
        source = source.replace(old, new)
    module = owner if isinstance(owner, ModuleType) else sys.modules[owner.__module__]
    changed = _compiled(source, name, module)
    for place in _places(owner, name, original):
        patch.setattr(place, name, changed)


def _function(found: Any) -> Callable[..., Any]:
    function = found.fget if isinstance(found, property) else found
    assert callable(function), "only functions and properties are changed"
    return function


def _compiled(source: str, name: str, module: ModuleType) -> Any:
    flags = __future__.annotations.compiler_flag
    space: dict[str, Any] = {}
    exec(
        compile(source, f"<mutant of {module.__name__}.{name}>", "exec", flags, dont_inherit=True),
        module.__dict__,
        space,
    )
    return space[name]


def _places(owner: Any, name: str, original: Any) -> list[Any]:
    """A class, or every module of ours that imported the function by its name."""
    if not isinstance(owner, ModuleType):
        return [owner]
    return [owner] + [
        module
        for module in list(sys.modules.values())
        if module is not owner and getattr(module, "__dict__", {}).get(name) is original
    ]
