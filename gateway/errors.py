"""Every exception that this project raises on purpose.

GatewayError
├── ConfigError            the configuration cannot be used; a person has to change it
│   └── ConfigErrors       several of them, reported together
├── DataDirectoryBusy      another daemon holds the data directory
├── NotARing               a file is there, and is no ring that this version can read
├── PortError              a port cannot be used now; trying again can help
├── BrokerUnreachable      no connection; trying again can help
└── BrokerRefused          the broker said no; trying again helps only after somebody acts

Exceptions carry fields, so that metrics and tests never parse a message.
"""

from collections.abc import Sequence

__all__ = [
    "BrokerRefused",
    "BrokerUnreachable",
    "ConfigError",
    "ConfigErrors",
    "DataDirectoryBusy",
    "GatewayError",
    "NotARing",
    "PortError",
]


class GatewayError(Exception):
    """The root of all of them; ``retry_helps`` says whether waiting may mend it."""

    retry_helps = False


class ConfigError(GatewayError):
    """One thing that is wrong in the configuration, in words that tell how to mend it."""

    def __init__(  # noqa: PLR0913 - each is one part of the sentence that a technician reads
        self,
        problem: str,
        *,
        file: str = "",
        key: str = "",
        value: object = None,
        allowed: str = "",
        nearest: str = "",
    ) -> None:
        self.problem = problem
        self.file = file
        self.key = key
        self.value = value
        self.allowed = allowed
        self.nearest = nearest
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        where = ": ".join(part for part in (self.file, self.key) if part)
        text = f"{where}: {self.problem}" if where else self.problem
        if self.value is not None:
            text += f", got {self.value!r}"
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        if self.nearest:
            text += f"; did you mean {self.nearest!r}?"
        return text


class ConfigErrors(ConfigError):
    """All that is wrong in the configuration, so that one reading mends it."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in errors))


class DataDirectoryBusy(GatewayError):
    """Another daemon already works on this data directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        super().__init__(
            f"{directory} is in use by another citylab-gateway; stop that one first "
            "(two daemons on one ring would destroy it)"
        )


class NotARing(GatewayError):
    """A file that was named as a ring is none that this version can read."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


class PortError(GatewayError):
    """A serial port or Bluetooth adapter cannot be used at the moment."""

    retry_helps = True

    def __init__(self, port: str, reason: str) -> None:
        self.port = port
        self.reason = reason
        super().__init__(f"{port}: {reason}")


class BrokerUnreachable(GatewayError):
    """A broker cannot be reached at the moment; ``cause`` is a metric label."""

    retry_helps = True

    def __init__(self, broker: str, cause: str, detail: str = "") -> None:
        self.broker = broker
        self.cause = cause
        self.detail = detail
        super().__init__(f"{broker}: {cause}" + (f" ({detail})" if detail else ""))


class BrokerRefused(GatewayError):
    """A broker was reached and refused; ``cause`` is a metric label."""

    def __init__(self, broker: str, cause: str, detail: str = "") -> None:
        self.broker = broker
        self.cause = cause
        self.detail = detail
        super().__init__(f"{broker}: refused, {cause}" + (f" ({detail})" if detail else ""))
