"""Replaces a name in all modules of the buffer, wherever they keep it today."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["everywhere"]

PACKAGE = "gateway.buffer."


@contextlib.contextmanager
def everywhere(name: str, value: Any, *, but: str = "") -> Iterator[None]:
    """Let every module of the buffer that has this name have another value for a while.

    ``but``: not the module where the original stays in use. It must be there at least once.
    """
    modules = [one for key, one in sys.modules.items() if key.startswith(PACKAGE)]
    found = [one for one in modules if name in vars(one) and one.__name__ != PACKAGE + but]
    if not found:
        raise LookupError(f"nothing in {PACKAGE}* is called {name} any more")
    before = [(one, vars(one)[name]) for one in found]
    for module in found:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, original in before:
            setattr(module, name, original)
