"""The footfall driver with a window of a few seconds: what is tested is what happens at its end."""

from pathlib import Path

from drivers.footfall import Footfall

__all__ = ["WINDOW_S", "QuickFootfall", "install"]

WINDOW_S = 2


class QuickFootfall(Footfall):
    """Cannot be configured so, and for good reason (PRIV-03)."""

    @property
    def window_s(self) -> float:
        return WINDOW_S


def install(folder: Path) -> str:
    """Make the driver an installed one for who has the folder on the path; return the folder."""
    package = folder / "quick_footfall-0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: quick-footfall\nVersion: 0\n")
    (package / "entry_points.txt").write_text(
        f"[citylab_gateway.drivers]\nfootfall-quick = {QuickFootfall.__module__}:QuickFootfall\n"
    )
    return str(folder)
