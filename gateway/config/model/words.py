"""The words of the models: kinds of text, what they refuse, and the help for them."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from gateway.config.refusal import Refusal

__all__ = [
    "EVERYBODY",
    "LISTEN",
    "PATTERN_HELP",
    "SLUG",
    "AdapterName",
    "Address",
    "Email",
    "FilePath",
    "OptionalTopic",
    "Prose",
    "Section",
    "Slug",
    "Topic",
    "VariableName",
]

MAX_PATH_LENGTH = 4096
MAX_PROSE_LENGTH = 1000
MAX_EMAIL_LENGTH = 254
ADDRESS = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
SLUG = r"^[a-z0-9][a-z0-9-]{0,62}$"
TOPIC = r"^[^+#\x00]{1,512}$"
OPTIONAL_TOPIC = r"^[^+#\x00]{0,512}$"
EMAIL = r"^([^@\s<>\"]+@[^@\s<>\"]+)?$"
EVERYBODY = "*"
"""The address of a sensor that counts whoever passes."""
ADAPTER = re.compile(r"hci\d{1,3}")
LISTEN = r"^(\[[0-9a-fA-F:]+\]|[0-9A-Za-z.-]+):\d{1,5}$"

PATTERN_HELP: Mapping[str, str] = {
    SLUG: "1 to 63 lower-case letters, digits and hyphens, no hyphen first",
    TOPIC: "1 to 512 characters without + and #",
    OPTIONAL_TOPIC: "up to 512 characters without + and #",
    EMAIL: "an e-mail address",
    LISTEN: "address:port, such as 127.0.0.1:9469 or [::1]:9469",
}
"""The patterns of this page in words."""

Slug = Annotated[str, StringConstraints(pattern=SLUG)]
"""It becomes part of topics, ids and file names."""
Topic = Annotated[str, StringConstraints(pattern=TOPIC)]
OptionalTopic = Annotated[str, StringConstraints(pattern=OPTIONAL_TOPIC)]
Email = Annotated[str, StringConstraints(pattern=EMAIL, max_length=MAX_EMAIL_LENGTH)]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_PROSE_LENGTH)]
"""Text for people; blanks alone are nothing."""


def _absolute(path: str) -> str:
    """Refuse what is no path without repeating it: it may be the secret itself."""
    if not path.startswith(("/", "%d/")) or len(path) > MAX_PATH_LENGTH or not path.isprintable():
        raise Refusal(
            "is no absolute path",
            allowed="a path from /, or from %d/ (the systemd credential directory)",
            show=False,
        )
    return path


def _variable(name: str) -> str:
    """Refuse what is no variable's name without repeating it: it may be the secret itself."""
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,127}", name):
        raise Refusal(
            "is no name of an environment variable",
            allowed="capital letters, digits and underscores",
            show=False,
        )
    return name


def _address(address: str) -> str:
    """Return the address in capitals, as BlueZ writes it; a star stands for all that pass."""
    if address == EVERYBODY:
        return address
    upper = address.upper()
    if not ADDRESS.fullmatch(upper):
        digits = re.sub(r"[^0-9A-F]", "", upper)
        pairs = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
        raise Refusal(
            "is no Bluetooth address",
            allowed="AA:BB:CC:DD:EE:FF",
            nearest=pairs if ADDRESS.fullmatch(pairs) else "",
        )
    return upper


def _adapter(adapter: str) -> str:
    """Return the name of a Bluetooth adapter, or its own address in capitals."""
    if ADAPTER.fullmatch(adapter) or ADDRESS.fullmatch(adapter.upper()):
        return adapter if adapter.startswith("hci") else adapter.upper()
    raise Refusal(
        "is no Bluetooth adapter", allowed="hci0 and so on, or its own address AA:BB:CC:DD:EE:FF"
    )


FilePath = Annotated[str, AfterValidator(_absolute)]
"""Absolute, because the daemon's working directory is nobody's business; %d is expanded later."""
VariableName = Annotated[str, AfterValidator(_variable)]
Address = Annotated[str, AfterValidator(_address)]
AdapterName = Annotated[str, AfterValidator(_adapter)]


class Section(BaseModel):
    """One table of the file: no unknown keys, nothing changes after it was read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=False
    )
