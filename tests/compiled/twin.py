"""The ring in the mode that is not installed, so that one session can run both.

Installed is what ``import gateway.buffer.ring`` gives. If that is interpreted, its twin is compiled
here, from the same source, as an install does it; if it is compiled, the twin is the source.
"""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from gateway.buffer import ring as installed

__all__ = ["INSTALLED", "load_twin", "swap"]

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "gateway.buffer.ring"
SOURCE = ROOT / "gateway" / "buffer" / "ring.py"
INSTALLED: ModuleType = installed
USERS = ("gateway.", "tests.")
"""Modules in which the names of the ring are replaced."""


def load_twin(library: Callable[[], Path]) -> ModuleType:
    """Return the ring in the other mode; ``library`` is asked for if that is the compiled one."""
    path = SOURCE
    if not installed.COMPILED:
        (path,) = library().rglob("ring.*.so")
    spec = importlib.util.spec_from_file_location(NAME, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert bool(module.COMPILED) != bool(installed.COMPILED)
    return module


def swap(patch: pytest.MonkeyPatch, old: ModuleType, new: ModuleType) -> None:
    """Put ``new`` wherever a loaded module of ours holds a name of ``old``."""
    renewed = {id(vars(old)[name]): vars(new)[name] for name in ("Ring", "gather")}
    for name, module in list(sys.modules.items()):
        if name.startswith(USERS) and module is not old and module is not new:
            for key, value in list(vars(module).items()):
                if id(value) in renewed:
                    patch.setattr(module, key, renewed[id(value)])
    patch.setitem(sys.modules, NAME, new)
