"""The compiled filters beside the interpreted ones, so that one session can compare them."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

__all__ = ["FOLDER", "HOT", "ROOT", "compile_hot", "load", "load_twins"]

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "gateway" / "filters"
HOT = ("chain", "deadband", "range", "rate", "spike", "window")


def compile_hot(folder: Path) -> str:
    """Compile into ``folder/lib`` as an install does; return what went wrong, or nothing."""
    places = ["--build-lib", str(folder / "lib"), "--build-temp", str(folder / "temp")]
    built = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", *places],
        cwd=ROOT,
        env={**os.environ, "CITYLAB_GATEWAY_CYTHON": "require"},
        check=False,
        capture_output=True,
        text=True,
    )
    return built.stderr if built.returncode else ""


def load_twins(folder: Path) -> dict[str, tuple[ModuleType, ModuleType]]:
    """Return (interpreted, compiled) by module name; skips without a compiler, but not in CI."""
    problem = compile_hot(folder)
    if problem:
        if os.environ.get("CI") == "true":
            pytest.fail(f"filters cannot be compiled, and CI may skip nothing:\n{problem}")
        pytest.skip("filters cannot be compiled here: needs cython, a C compiler and Python.h")
    found = {}
    for name in HOT:
        (compiled,) = (folder / "lib").rglob(f"filters/{name}.*.so")
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
