"""The one thing that pyproject.toml cannot say: compile the hot modules where that is possible.

These are the ring and the filters that nearly every reading meets. CITYLAB_GATEWAY_CYTHON=skip
leaves them interpreted, =require fails the build if they cannot be compiled; without it they are
compiled if Cython and a C compiler are there, and the build says which it was. An editable install
follows the source, so there only =require compiles; what it put beside the source is old as soon as
a module changes. Everything else stands in pyproject.toml.
"""

import os
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError, ExecError, PlatformError

SWITCH = "CITYLAB_GATEWAY_CYTHON"
MODES = ("", "skip", "require")
SOURCES = (
    Path("gateway", "buffer", "ring.py"),
    *(
        Path("gateway", "filters", f"{name}.py")
        for name in ("chain", "deadband", "range", "rate", "spike", "window")
    ),
)
"""Plain Python, each with its types in a ``.pxd`` beside it."""
STABLE_ABI = not sysconfig.get_config_var("Py_GIL_DISABLED")
"""Free-threaded builds have no stable ABI."""
DIRECTIVES = {
    "language_level": "3",
    "boundscheck": True,
    "annotation_typing": False,  # the .pxd has the types
    "binding": False,  # the stable ABI of 3.11 calls plain methods faster
}


def switch() -> str:
    """Return the wanted mode."""
    mode = os.environ.get(SWITCH, "")
    if mode not in MODES:
        raise SystemExit(f"{SWITCH} must be skip or require or not set, got {mode!r}")
    return mode


def say(text: str) -> None:
    """Tell what happened to the modules: pip shows it with --verbose, or when the build fails."""
    sys.stderr.write(f"citylab-gateway: {text}\n")


def extensions() -> list[Extension]:
    """Return the extensions to build, or nothing when they shall not or cannot be compiled."""
    mode = switch()
    if mode == "skip":
        forget(Path())
        say(f"all stays interpreted ({SWITCH}=skip)")
        return []
    try:
        from Cython.Build import cythonize  # noqa: PLC0415 - it may not be there
    except ImportError as error:
        if mode == "require":
            raise SystemExit(f"{SWITCH}=require, but Cython cannot be imported: {error}") from error
        forget(Path())
        say("all stays interpreted: Cython is not installed")
        return []
    macros = [("Py_LIMITED_API", "0x030B0000")] if STABLE_ABI else []
    hot = [
        Extension(
            ".".join(source.with_suffix("").parts),
            [str(source)],
            define_macros=macros,
            py_limited_api=STABLE_ABI,
            optional=False,
        )
        for source in SOURCES
    ]
    compiled: list[Extension] = cythonize(
        hot, compiler_directives=DIRECTIVES, build_dir="build/cython", quiet=True
    )
    return compiled


def forget(root: Path) -> None:
    """Take away what an earlier build left under there: nobody shall run it by mistake."""
    for source in SOURCES:
        for left in (root / source.parent).glob(f"{source.stem}.*.so"):
            left.unlink()


class BuildHot(build_ext):
    """Compile; fall back to the plain module, in so many words, unless that is ruled out."""

    def run(self) -> None:
        """Build, or say why not."""
        required = switch() == "require"
        forget(Path(self.build_lib))
        if self.editable_mode:
            forget(Path())
            if not required:
                say(f"all stays interpreted: editable, and {SWITCH} is not require")
                self.extensions = []
                return
        try:
            super().run()
        except (BaseError, CCompilerError, ExecError, PlatformError) as error:
            if required:
                raise
            say(f"all stays interpreted, it cannot be compiled here: {error}")
            self.extensions = []
        else:
            say("the ring and the hot filters were compiled")


class StableWheel(bdist_wheel):
    """A wheel with compiled modules fits every Python from 3.11 on; one without fits any."""

    def finalize_options(self) -> None:
        """Name the stable ABI if that is what is to be built."""
        if self.distribution.ext_modules and STABLE_ABI:
            self.py_limited_api = "cp311"
        super().finalize_options()

    def get_tag(self) -> tuple[str, str, str]:
        """Return what the wheel fits, now that it is known what was built."""
        if not self.get_finalized_command("build_ext").extensions:
            return "py3", "none", "any"
        return super().get_tag()


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildHot, "bdist_wheel": StableWheel})
