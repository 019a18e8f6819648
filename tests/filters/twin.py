"""The compiled filters beside the interpreted ones, so that one session can compare them."""

import importlib.util
from pathlib import Path
from types import ModuleType

__all__ = ["FOLDER", "HOT", "ROOT", "load", "load_twins"]

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "gateway" / "filters"
HOT = ("chain", "deadband", "range", "rate", "spike", "window")


def load_twins(library: Path) -> dict[str, tuple[ModuleType, ModuleType]]:
    """Return (interpreted, compiled) by module name; ``library`` holds what was compiled."""
    found = {}
    for name in HOT:
        (compiled,) = library.rglob(f"filters/{name}.*.so")
        found[name] = load(name, FOLDER / f"{name}.py"), load(name, compiled)
    return found


def load(name: str, path: Path) -> ModuleType:
    """Return a module of gateway.filters from a file, without making it the installed one."""
    spec = importlib.util.spec_from_file_location(f"gateway.filters.{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
