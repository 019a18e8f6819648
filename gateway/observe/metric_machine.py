"""The last lines of the table of metrics: the machine and the process, read at each scrape."""

from gateway.observe import process_figures
from gateway.observe.metric import Metric
from gateway.observe.metric_readers import one
from gateway.observe.under_voltage import power_troubles, under_voltage_seen

__all__ = ["MACHINE"]

MACHINE: tuple[Metric, ...] = (
    Metric(
        "citylab_gateway_power_trouble",
        "gauge",
        ("trouble",),
        "1 while it lasts: under_voltage, frequency_capped, throttled or hot; absent where the "
        "firmware does not tell. Only Raspberry Pi's own kernel tells of more than under_voltage.",
        lambda _: (((name,), float(lasts)) for name, lasts in power_troubles().items()),
    ),
    Metric(
        "citylab_gateway_power_under_voltage_seen",
        "gauge",
        (),
        "1 if the supply voltage was ever too low since the boot, or within the last seconds where "
        "the kernel remembers no longer; absent where the firmware does not tell.",
        one(lambda _: under_voltage_seen()),
    ),
    Metric(
        "process_cpu_seconds_total",
        "counter",
        (),
        "Processor time used.",
        one(lambda _: process_figures.cpu_seconds()),
    ),
    Metric(
        "process_resident_memory_bytes",
        "gauge",
        (),
        "Memory held.",
        one(lambda _: process_figures.resident_bytes()),
    ),
    Metric(
        "process_open_fds",
        "gauge",
        (),
        "Open descriptors; absent on kernels before 6.2.",
        one(lambda _: process_figures.open_fds()),
    ),
    Metric(
        "process_max_fds",
        "gauge",
        (),
        "Descriptors that may be open.",
        one(lambda _: process_figures.max_fds()),
    ),
)
