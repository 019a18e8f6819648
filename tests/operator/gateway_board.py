"""The dashboard of one box."""

from tests.operator.dashboards import Board, Panel, Query

__all__ = ["GATEWAY"]

BOX = 'instance="$gateway"'
P = "citylab_gateway_"
RATE = "[$__rate_interval]"
FRESH = 'state="fresh"'
ONLINE = 'state="online"'
YES_NO = {"0": ("no", "red"), "1": ("yes", "green")}


def _of(metric: str, *labels: str) -> str:
    return f"{P}{metric}{{{','.join((BOX, *labels))}}}"


def _now(title: str, about: str, *queries: Query, unit: str = "short", **more: object) -> Panel:
    return Panel(title, "stat", about, queries, 3, 4, unit=unit, **more)  # type: ignore[arg-type]


def _line(title: str, about: str, *queries: Query, unit: str = "short", width: int = 8) -> Panel:
    return Panel(title, "timeseries", about, queries, width, 8, unit=unit)


def _rate(metric: str, name: str, *labels: str) -> Query:
    return Query(f"rate({_of(metric, *labels)}{RATE})", name)


NOW = [
    _now(
        "Health",
        "ok, degraded (somebody should look) or failing; the status page names the reason.",
        Query(f"{_of('health_state')} == 1", "{{state}}"),
        options={"textMode": "name"},
    ),
    _now(
        "Sensors late",
        "Sensors that missed their rhythm, or never spoke.",
        Query(f"count({_of('sensor_state', FRESH)} == 0) or vector(0)"),
        steps={1: "red"},
    ),
    _now(
        "Links down",
        "Brokers that are not connected.",
        Query(f"count({_of('link_state', ONLINE)} == 0) or vector(0)"),
        steps={1: "orange"},
    ),
    _now(
        "Oldest unsent",
        "Age of the oldest reading that a broker has not confirmed.",
        Query(f"max({_of('link_oldest_pending_seconds')})"),
        unit="s",
        steps={3600: "orange"},
    ),
    _now(
        "Clock right",
        "A time server was reached since the boot.",
        Query(_of("clock_synced")),
        texts=YES_NO,
    ),
    _now(
        "Memory only",
        "1: the disk fails, and a power cut loses what was not sent.",
        Query(_of("buffer_degraded")),
        steps={1: "red"},
    ),
    _now("Up", "Since the daemon started.", Query(_of("uptime_seconds")), unit="s"),
    _now("Boot", "Grows with each boot of the machine.", Query(_of("boot_number"))),
]
ALERTS = [
    Panel(
        "Alerts of this box",
        "table",
        "What fires or is about to; docs/operate.md says what to do.",
        [
            Query(
                "count by (alertname, alertstate, visit, severity, sensor, link, adapter)"
                f" (ALERTS{{{BOX}}})"
            )
        ],
        16,
        7,
    ),
    Panel(
        "What runs on it",
        "table",
        "Software and ring.",
        [Query(f"count by (gateway, version, python, ring) ({_of('build_info')})")],
        8,
        7,
    ),
]
SENSORS = [
    Panel("Sensors"),
    Panel(
        "Every sensor",
        "table",
        "Late: its last reading is older than it may be. Recovery 4: the gateway has given up.",
        [
            Query(f"max by (sensor, driver, domain, privacy) ({_of('sensor_info')})"),
            Query(f"max by (sensor) ({_of('sensor_state', FRESH)})", "fresh"),
            Query(f"max by (sensor) ({_of('sensor_since_reading_seconds')})", "last (s)"),
            Query(f"max by (sensor) ({_of('sensor_stale_after_seconds')})", "late after (s)"),
            Query(f"max by (sensor) ({_of('sensor_interval_seconds')})", "interval (s)"),
            Query(
                f"max by (sensor) ({_of('sensor_learnt_interval_seconds')})", "real interval (s)"
            ),
            Query(f"sum by (sensor) (increase({_of('sensor_faults_total')}[1h]))", "faults in 1 h"),
            Query(f"max by (sensor) ({_of('port_open')})", "port open"),
            Query(f"max by (sensor) ({_of('port_recovery_step')})", "recovery"),
            Query(f"max by (sensor) ({_of('sensor_stuck_series')})", "stuck"),
            Query(f"max by (sensor) ({_of('sensor_expired_calibrations')})", "calibration due"),
        ],
        24,
        10,
    ),
    _line(
        "Age of the last reading",
        "As a part of what it may be; above 1 the sensor is late.",
        Query(
            f"{_of('sensor_since_reading_seconds')} / {_of('sensor_stale_after_seconds')}",
            "{{sensor}}",
        ),
    ),
    _line(
        "Readings a second",
        "That went into the buffer.",
        _rate("sensor_readings_total", "{{sensor}}"),
    ),
    _line(
        "Faults a second",
        "What could not be used, by kind: line, device, key.",
        _rate("sensor_faults_total", "{{sensor}} {{kind}}"),
    ),
    _line(
        "Taken away by filters",
        "Readings a second that filters dropped or took in.",
        _rate("sensor_filtered_readings_total", "{{sensor}} {{filter}}"),
        _rate("sensor_absorbed_readings_total", "{{sensor}} taken in"),
    ),
    _line(
        "Refused, and restarts of devices",
        "Readings that are no number or unknown; devices that restarted by themselves; in 1 h.",
        Query(f"increase({_of('sensor_refused_readings_total')}[1h])", "{{sensor}} refused"),
        Query(f"increase({_of('sensor_restarts_total')}[1h])", "{{sensor}} restarted"),
    ),
    _line(
        "Time told by sensors",
        "By how much the gateway's clock is ahead of theirs.",
        Query(_of("clock_check_ahead_seconds"), "{{sensor}}"),
        unit="s",
    ),
]
PORTS = [
    Panel("Ports"),
    _line(
        "Bytes a second",
        "Received from each device.",
        _rate("port_received_bytes_total", "{{sensor}}"),
        unit="Bps",
    ),
    _line(
        "Ports opened again",
        "In 1 h, by cause: vanished is plug or supply, silence is the device.",
        Query(f"increase({_of('port_reopens_total')}[1h]) > 0", "{{sensor}} {{cause}}"),
    ),
    _line(
        "Steps of recovery",
        "In 1 h; report means that a person is needed.",
        Query(f"increase({_of('port_recoveries_total')}[1h]) > 0", "{{sensor}} {{step}}"),
    ),
    _line(
        "Questions without an answer",
        "Share of the questions at a bus.",
        Query(
            f"rate({_of('bus_timeouts_total')}{RATE}) / rate({_of('bus_requests_total')}{RATE})",
            "{{sensor}}",
        ),
        unit="percentunit",
    ),
    _line(
        "Late bytes and echoes",
        "A second, at a bus.",
        _rate("bus_late_bytes_total", "{{sensor}} late bytes"),
        _rate("bus_echoes_total", "{{sensor}} echoes"),
    ),
    _line(
        "Silence of each line",
        "Time since the last byte.",
        Query(_of("port_since_byte_seconds"), "{{sensor}}"),
        unit="s",
    ),
]
BLUETOOTH = [
    Panel("Bluetooth"),
    _line(
        "Advertisements a second",
        "Of configured sensors: heard, understood, heard twice.",
        _rate("scanner_adverts_total", "heard"),
        _rate("scanner_claimed_adverts_total", "understood"),
        _rate("scanner_doubled_adverts_total", "by a second adapter, too"),
    ),
    _line(
        "Dropped advertisements",
        "A second: too many waited, or one address sends too much.",
        _rate("scanner_overflowed_adverts_total", "too many"),
        _rate("scanner_limited_adverts_total", "{{sensor}} sends too much"),
    ),
    _line(
        "Adapters",
        "Scanning 1 or 0; recovery 3: the gateway has given up.",
        Query(_of("scanner_open"), "{{adapter}} scans"),
        Query(_of("scanner_active"), "{{adapter}} actively"),
        Query(_of("scanner_recovery_step"), "{{adapter}} recovery"),
    ),
    _line(
        "Scans started again",
        "In 1 h, by cause.",
        Query(f"increase({_of('scanner_restarts_total')}[1h])", "{{adapter}} {{cause}}"),
    ),
    _line(
        "Nothing heard for",
        "Time since the last advertisement of any configured sensor.",
        Query(_of("scanner_since_advert_seconds"), "nothing heard"),
        unit="s",
    ),
    _line(
        "Visits",
        "Of sensors that are connected to, in 1 h by result; and how many are due.",
        Query(f"increase({_of('connections_total')}[1h])", "{{result}}"),
        Query(_of("connections_waiting"), "due"),
    ),
]
LINKS = [
    Panel("Brokers"),
    Panel(
        "State of each link",
        "state-timeline",
        "Green: online.",
        [Query(_of("link_state", ONLINE), "{{link}}")],
        12,
        7,
        texts={"0": ("not online", "red"), "1": ("online", "green")},
    ),
    Panel(
        "Every reading is accounted for",
        "table",
        "accepted = acknowledged + pending + dropped; the difference is always 0.",
        [
            Query(f"sum by (link) ({_of('link_accepted_readings_total')})", "accepted"),
            Query(f"sum by (link) ({_of('link_acknowledged_readings_total')})", "acknowledged"),
            Query(f"sum by (link) ({_of('link_pending_readings')})", "pending"),
            Query(f"sum by (link) ({_of('link_dropped_readings_total')})", "dropped"),
            Query(
                f"sum by (link) ({_of('link_accepted_readings_total')})"
                f" - sum by (link) ({_of('link_acknowledged_readings_total')})"
                f" - sum by (link) ({_of('link_pending_readings')})"
                f" - sum by (link) ({_of('link_dropped_readings_total')})",
                "difference",
            ),
        ],
        12,
        7,
    ),
    _line(
        "Unsent readings",
        "That wait for this broker.",
        Query(_of("link_pending_readings"), "{{link}}"),
    ),
    _line(
        "Oldest unsent reading",
        "Its age.",
        Query(_of("link_oldest_pending_seconds"), "{{link}}"),
        unit="s",
    ),
    _line(
        "Acknowledged readings a second",
        "What the broker confirmed; of it what comes from a backlog.",
        _rate("link_acknowledged_readings_total", "{{link}}"),
        _rate("link_history_readings_total", "{{link}} backlog"),
    ),
    _line(
        "Dropped readings, in 1 h",
        "By reason; policy is what the configuration withholds.",
        Query(f"increase({_of('link_dropped_readings_total')}[1h]) > 0", "{{link}} {{reason}}"),
    ),
    _line(
        "Disconnects, in 1 h",
        "By cause; docs/causes.md says what mends each.",
        Query(f"increase({_of('link_disconnects_total')}[1h])", "{{link}} {{cause}}"),
    ),
    _line(
        "Payload bytes a second",
        "Sent, repeats included.",
        _rate("link_sent_bytes_total", "{{link}}"),
        unit="Bps",
    ),
    _line(
        "Messages",
        "On the way; and refused, in 1 h.",
        Query(_of("link_in_flight_messages"), "{{link}} on the way"),
        Query(f"increase({_of('link_refused_messages_total')}[1h])", "{{link}} refused"),
    ),
    _line(
        "Unsure times",
        "Readings that wait for the clock, and those whose time was mended, in 1 h.",
        Query(_of("link_held_readings"), "{{link}} waiting"),
        Query(f"increase({_of('link_time_fixed_readings_total')}[1h])", "{{link}} mended"),
    ),
    _line(
        "Certificate",
        "Days until the first of ours and the private CA's ends.",
        Query(f"({_of('link_certificate_expiry_timestamp_seconds')} - time()) / 86400", "{{link}}"),
        unit="d",
    ),
]
BUFFER = [
    Panel("Buffer and disk"),
    _line(
        "Fill",
        "Stays near 100 % once it has gone round.",
        Query(_of("buffer_used_ratio"), "used"),
        unit="percentunit",
    ),
    _line(
        "How far back it reaches",
        "Age of the oldest reading: how long a broker may be away once the ring is full.",
        Query(_of("buffer_oldest_reading_seconds"), "oldest"),
        unit="s",
    ),
    _line(
        "A power cut would cost",
        "Readings that are not on the disk yet.",
        Query(_of("buffer_unflushed_readings"), "readings"),
    ),
    _line(
        "Flushes take",
        "Half of them, 19 of 20 and 99 of 100 take no longer; a dying card shows here first.",
        *(
            Query(
                f"histogram_quantile({share}, rate({_of('buffer_flush_seconds_bucket')}{RATE}))",
                name,
            )
            for share, name in ((0.5, "median"), (0.95, "95 %"), (0.99, "99 %"))
        ),
        unit="s",
    ),
    _line(
        "Written to the disk",
        "Bytes a second.",
        _rate("buffer_written_bytes_total", "bytes"),
        unit="Bps",
    ),
    _line(
        "Trouble with the disk",
        "Flushes that failed in 1 h, and damaged blocks so far.",
        Query(f"increase({_of('buffer_flush_errors_total')}[1h])", "failed flushes"),
        Query(_of("buffer_damaged_blocks_total"), "damaged blocks"),
        Query(_of("buffer_degraded"), "memory only"),
    ),
]
MACHINE = [
    Panel("Clock and machine"),
    _line(
        "Clock may be wrong by",
        "What the time server admits; nothing while nobody knows.",
        Query(_of("clock_error_bound_seconds"), "bound"),
        unit="s",
    ),
    _line(
        "Jumps of the clock, in 1 h",
        "More than 50 ms; readings are not reordered by them.",
        Query(f"increase({_of('clock_steps_total')}[1h])", "jumps"),
    ),
    _line(
        "Who says that the clock is right",
        "1 for the present one.",
        Query(_of("clock_sync_source"), "{{source}}"),
    ),
    _line(
        "Power and heat",
        "Only a Raspberry Pi tells: 1 while it lasts, or has been seen since the boot.",
        Query(_of("power_trouble"), "{{trouble}}"),
        Query(_of("power_under_voltage_seen"), "under_voltage since the boot"),
    ),
    _line(
        "Processor",
        "Share of one core.",
        Query(f"rate(process_cpu_seconds_total{{{BOX}}}{RATE})", "processor"),
        unit="percentunit",
    ),
    _line(
        "Memory",
        "Held by the daemon; it is flat.",
        Query(f"process_resident_memory_bytes{{{BOX}}}", "memory"),
        unit="bytes",
    ),
    _line(
        "Files and connections",
        "Open, and how many may be.",
        Query(f"process_open_fds{{{BOX}}}", "open"),
        Query(f"process_max_fds{{{BOX}}}", "most"),
    ),
    _line(
        "Event loop late by",
        "At worst within two minutes; above 1 s the machine is too busy.",
        Query(_of("loop_lag_recent_max_seconds"), "late"),
        unit="s",
    ),
    _line(
        "Parts restarted, in 1 h",
        "For a reason that nobody foresaw; the journal has it.",
        Query(f"increase({_of('task_restarts_total')}[1h])", "{{task}}"),
    ),
]
GATEWAY = Board(
    "citylab-gateway",
    "City gateways: one gateway",
    "Everything that one box tells. No measured value is among it.",
    many=False,
    panels=[*NOW, *ALERTS, *SENSORS, *PORTS, *BLUETOOTH, *LINKS, *BUFFER, *MACHINE],
)
