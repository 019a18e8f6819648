"""Where the raw bytes go of the sensors that are recorded."""

from pydantic import Field

from gateway.config.model.words import FilePath, Section
from gateway.config.units import Size

__all__ = ["RecordingSection"]


class RecordingSection(Section):
    """One recording for all sensors with ``record``, to look at or to replay."""

    directory: FilePath = Field(
        default="",
        description="Where its files are; the default is the folder recordings in "
        "buffer.directory. Readable by the gateway's user alone.",
        examples=["/srv/records"],
    )
    size: Size = Field(
        default=16 << 20,
        ge=64 << 10,
        le=1 << 30,
        description="Size of one file; then the next one begins.",
    )
    keep: int = Field(
        default=4, ge=1, le=100, description="So many files are kept; then the oldest goes."
    )
