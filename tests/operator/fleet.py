"""The dashboard of all boxes: which needs a visit, and why."""

from tests.operator.dashboards import Board, Panel, Query

__all__ = ["FLEET"]

BOX = 'instance=~"$gateway"'
FIRING = f'alertstate="firing",{BOX}'
P = "citylab_gateway_"
LOST = 'reason=~"overwritten|rejected|corrupt"'
OPEN_BOX = {
    "title": "Open ${__data.fields.instance}",
    "url": "/d/citylab-gateway?var-gateway=${__data.fields.instance}&${__url_time_range}",
}


def _alerts(visit: str) -> str:
    labels = "instance, alertname, severity, sensor, link, adapter"
    return f'count by ({labels}) (ALERTS{{{FIRING},visit="{visit}"}})'


def _boxes_with(visit: str) -> str:
    return f'count(count by (instance) (ALERTS{{{FIRING},visit="{visit}"}})) or vector(0)'


def _list(title: str, visit: str, about: str, width: int = 8) -> Panel:
    return Panel(title, "table", about, [Query(_alerts(visit))], width, 10, links=[OPEN_BOX])


FLEET = Board(
    "citylab-fleet",
    "City gateways: fleet",
    "Which boxes need a visit, and why. What to do about each alert stands in docs/operate.md.",
    many=True,
    panels=[
        Panel(
            "Boxes",
            "stat",
            "Boxes that Prometheus reads.",
            [Query(f'count(up{{job="citylab-gateway",{BOX}}})')],
            4,
            4,
        ),
        Panel(
            "Do not answer",
            "stat",
            "Boxes without power, network or daemon.",
            [Query(f'count(up{{job="citylab-gateway",{BOX}}} == 0) or vector(0)')],
            4,
            4,
            steps={1: "red"},
        ),
        Panel(
            "Need a visit",
            "stat",
            "Boxes with an alert that says: go there.",
            [Query(_boxes_with("yes"))],
            4,
            4,
            steps={1: "red"},
        ),
        Panel(
            "Look first",
            "stat",
            "Boxes with an alert that may need a visit.",
            [Query(_boxes_with("maybe"))],
            4,
            4,
            steps={1: "orange"},
        ),
        Panel(
            "From the desk",
            "stat",
            "Boxes with an alert that nobody has to go out for.",
            [Query(_boxes_with("no"))],
            4,
            4,
            steps={1: "yellow"},
        ),
        Panel(
            "Readings a second",
            "stat",
            "What all boxes measure together.",
            [Query(f"sum(rate({P}buffer_appended_readings_total{{{BOX}}}[5m]))")],
            4,
            4,
        ),
        _list(
            "Go there",
            "yes",
            "Take along what docs/operate.md names. Click a box for its own dashboard.",
        ),
        _list("Look first", "maybe", "The box's dashboard or status page says whether to go."),
        _list("From the desk", "no", "Passwords, certificates, brokers, configuration, time."),
        Panel(
            "Every box",
            "table",
            "One line a box; sort by any column.",
            [
                Query(f"count by (instance) (ALERTS{{{FIRING}}})", "alerts"),
                Query(f'min by (instance) (up{{job="citylab-gateway",{BOX}}})', "answers"),
                Query(
                    f'sum by (instance) ({P}sensor_state{{{BOX},state="fresh"}} == bool 0)',
                    "sensors late",
                ),
                Query(
                    f'sum by (instance) ({P}link_state{{{BOX},state="online"}} == bool 0)',
                    "links down",
                ),
                Query(
                    f"max by (instance) ({P}link_oldest_pending_seconds{{{BOX}}})",
                    "oldest unsent (s)",
                ),
                Query(
                    f"sum by (instance) (increase({P}link_dropped_readings_total{{{BOX},{LOST}}}"
                    "[24h]))",
                    "lost in 24 h",
                ),
                Query(f"max by (instance) ({P}buffer_degraded{{{BOX}}})", "disk fails"),
                Query(f"min by (instance) ({P}clock_synced{{{BOX}}})", "clock right"),
                Query(f"max by (instance) ({P}power_under_voltage_seen{{{BOX}}})", "under-voltage"),
                Query(
                    f"max by (instance) ({P}boot_number{{{BOX}}}"
                    f" - min_over_time({P}boot_number{{{BOX}}}[1d]))",
                    "boots in 24 h",
                ),
                Query(f"max by (instance) ({P}uptime_seconds{{{BOX}}}) / 86400", "up (days)"),
            ],
            24,
            12,
            links=[OPEN_BOX],
        ),
        Panel("Brokers"),
        Panel(
            "Boxes online, by link",
            "timeseries",
            "Share of the boxes that are connected; if it falls for all at once, it is the broker.",
            [Query(f'avg by (link) ({P}link_state{{{BOX},state="online"}})', "{{link}}")],
            8,
            unit="percentunit",
        ),
        Panel(
            "Unsent readings, by link",
            "timeseries",
            "All boxes together; falls again when a broker is back.",
            [Query(f"sum by (link) ({P}link_pending_readings{{{BOX}}})", "{{link}}")],
            8,
        ),
        Panel(
            "Acknowledged readings a second, by link",
            "timeseries",
            "What the brokers have confirmed.",
            [
                Query(
                    f"sum by (link) (rate({P}link_acknowledged_readings_total{{{BOX}}}"
                    "[$__rate_interval]))",
                    "{{link}}",
                )
            ],
            8,
        ),
        Panel("In the long run"),
        Panel(
            "Alerts over time",
            "timeseries",
            "How many of each kind fire.",
            [Query(f"count by (alertname) (ALERTS{{{FIRING}}})", "{{alertname}}")],
            8,
        ),
        Panel(
            "Lost readings, by reason",
            "timeseries",
            "Readings that a broker will never get, within an hour.",
            [
                Query(
                    f"sum by (reason) (increase({P}link_dropped_readings_total{{{BOX},{LOST}}}"
                    "[1h]))",
                    "{{reason}}",
                )
            ],
            8,
        ),
        Panel(
            "Most written to the disk, a day",
            "timeseries",
            "The ten boxes whose memory card wears out first.",
            [
                Query(
                    f"topk(10, {P}buffer_written_bytes_per_day{{{BOX}}}"
                    f" or rate({P}buffer_written_bytes_total{{{BOX}}}[1h]) * 86400)",
                    "{{instance}}",
                )
            ],
            8,
            unit="bytes",
        ),
        Panel(
            "Certificates that end first",
            "table",
            "Days that are left; 30 and fewer raise an alert.",
            [
                Query(
                    f"bottomk(20, ({P}link_certificate_expiry_timestamp_seconds{{{BOX}}} - time())"
                    " / 86400)",
                    "days",
                )
            ],
            12,
            links=[OPEN_BOX],
        ),
        Panel(
            "Software",
            "table",
            "How many boxes run what.",
            [Query(f"count by (version, python, ring) ({P}build_info{{{BOX}}})", "boxes")],
            12,
        ),
    ],
)
