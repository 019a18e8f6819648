"""Looks at supply voltage and heat, where the firmware of a Raspberry Pi tells."""

from collections.abc import Iterator

from gateway.cli.doctor.box import Box
from gateway.cli.doctor.finding import Finding, Trouble
from gateway.observe.under_voltage import power_troubles, under_voltage_seen

__all__ = ["TROUBLES", "look"]

SUPPLY = "a supply made for this model of Pi and a short thick cable; USB devices on a powered hub"
VOLTAGE = Trouble(
    "under_voltage",
    "fail",
    "USB adapters drop out by it, and a memory card may lose what it is writing.",
    SUPPLY,
)
VOLTAGE_SEEN = Trouble(
    "under_voltage_seen",
    "warn",
    "It was too low since the last boot: it will be again when something switches on.",
    f"{SUPPLY}; vcgencmd get_throttled shows it",
)
HOT = Trouble(
    "throttled",
    "warn",
    "The processor is slowed down; at worst readings come late.",
    "vcgencmd measure_temp; a fan, a clean filter mat or a sun shield",
)
TROUBLES = (VOLTAGE, VOLTAGE_SEEN, HOT)


def look(box: Box) -> Iterator[Finding]:
    """Yield what the firmware complains about; nothing on a machine that does not tell."""
    troubles = power_troubles(box.system.path("/sys"))
    if not troubles:
        return
    if troubles["under_voltage"]:
        yield VOLTAGE.found("supply", "the voltage is too low now")
    elif under_voltage_seen(box.system.path("/sys")):
        yield VOLTAGE_SEEN.found("supply", "the voltage was too low since the boot")
    else:
        yield Finding.fine("supply", "the voltage is right, and was since the boot")
    lasting = [name for name in ("hot", "throttled", "frequency_capped") if troubles.get(name)]
    if lasting:
        yield HOT.found("processor", ", ".join(lasting).replace("_", " "))
