"""citylab-gateway: from the sensors of a street cabinet to the brokers of several cities."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("citylab-gateway")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
