"""Compiles our modules as an install does, for those who compare the two modes."""

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["CannotCompile", "compile_into"]

ROOT = Path(__file__).resolve().parent.parent


class CannotCompile(Exception):
    """No cython, no C compiler, no Python.h, or a defect; the text is what the compiler said."""


def compile_into(folder: Path) -> Path:
    """Return the folder with the compiled modules; raises CannotCompile."""
    library = folder / "lib"
    places = ["--build-lib", str(library), "--build-temp", str(folder / "temp")]
    built = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", *places],
        cwd=ROOT,
        env={**os.environ, "CITYLAB_GATEWAY_CYTHON": "require"},
        check=False,
        capture_output=True,
        text=True,
    )
    if built.returncode:
        raise CannotCompile(built.stderr)
    return library
