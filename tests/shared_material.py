"""Finds the reference material that may lie beside the checkout: captures and official schemas."""

from pathlib import Path

__all__ = ["shared"]

FOLDER = Path(__file__).resolve().parent.parent.parent / "shared"


def shared(*parts: str) -> Path | None:
    """Return the path of a file or folder of the reference material, or None where it is absent."""
    path = FOLDER.joinpath(*parts)
    return path if path.exists() else None
