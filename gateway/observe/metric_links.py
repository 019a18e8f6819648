"""The lines of the table of metrics about the links to the brokers."""

from gateway.observe.metric import Metric
from gateway.observe.metric_readers import (
    link_disconnects,
    link_dropped,
    link_state,
    of_link,
    since,
    since_wall,
)

__all__ = ["LINKS"]

_P = "citylab_gateway_"
_LINK = ("link",)

LINKS: tuple[Metric, ...] = (
    # The identity: accepted = acknowledged + pending + dropped
    Metric(
        _P + "link_accepted_readings_total",
        "counter",
        _LINK,
        "Readings this link is owed; always acknowledged + pending + dropped.",
        of_link(lambda _, link: link.reader.accepted),
    ),
    Metric(
        _P + "link_acknowledged_readings_total",
        "counter",
        _LINK,
        "Readings that the broker has acknowledged.",
        of_link(lambda _, link: link.reader.acknowledged),
    ),
    Metric(
        _P + "link_dropped_readings_total",
        "counter",
        ("link", "reason"),
        "Readings this link will never get: overwritten in the ring, withheld by policy, "
        "rejected by the broker, corrupt on disk, expired, or purged on request.",
        link_dropped,
    ),
    Metric(
        _P + "link_pending_readings",
        "gauge",
        _LINK,
        "Readings that wait for an acknowledgement.",
        of_link(lambda _, link: link.reader.pending),
    ),
    Metric(
        _P + "link_oldest_pending_seconds",
        "gauge",
        _LINK,
        "Age of the oldest pending reading; 0 when nothing is pending.",
        of_link(lambda view, link: since_wall(view, link.reader.oldest_pending_time_ns)),
    ),
    # The connection
    Metric(
        _P + "link_state",
        "gauge",
        ("link", "state"),
        "1 for the present state: connecting, online, waiting (to try again), refused, stopped.",
        link_state,
    ),
    Metric(
        _P + "link_connects_total",
        "counter",
        _LINK,
        "Connections that the broker accepted.",
        of_link(lambda _, link: link.stats.connects),
    ),
    Metric(
        _P + "link_disconnects_total",
        "counter",
        ("link", "cause"),
        "Connections lost and attempts that failed, by cause.",
        link_disconnects,
    ),
    Metric(
        _P + "link_sent_messages_total",
        "counter",
        _LINK,
        "Messages handed to the broker, repeats included.",
        of_link(lambda _, link: link.stats.sent_messages),
    ),
    Metric(
        _P + "link_acknowledged_messages_total",
        "counter",
        _LINK,
        "Messages that the broker has acknowledged.",
        of_link(lambda _, link: link.stats.acknowledged_messages),
    ),
    Metric(
        _P + "link_refused_messages_total",
        "counter",
        _LINK,
        "Messages that the broker refused with a reason code.",
        of_link(lambda _, link: link.stats.refused_messages),
    ),
    Metric(
        _P + "link_sent_bytes_total",
        "counter",
        _LINK,
        "Payload bytes sent, repeats included.",
        of_link(lambda _, link: link.stats.sent_bytes),
    ),
    Metric(
        _P + "link_in_flight_messages",
        "gauge",
        _LINK,
        "Messages that are sent and not yet acknowledged.",
        of_link(lambda _, link: link.stats.in_flight),
    ),
    Metric(
        _P + "link_since_acknowledgement_seconds",
        "gauge",
        _LINK,
        "Time since the broker last acknowledged something; absent before the first time.",
        of_link(lambda view, link: since(view, link.stats.last_acknowledged_ns)),
    ),
    Metric(
        _P + "link_history_readings_total",
        "counter",
        _LINK,
        "Readings of a backlog that were sent, repeats included.",
        of_link(lambda _, link: link.stats.history_readings),
    ),
    Metric(
        _P + "link_held_readings",
        "gauge",
        _LINK,
        "Readings that wait for the clock to become right.",
        of_link(lambda _, link: link.reader.held_readings),
    ),
    Metric(
        _P + "link_time_fixed_readings_total",
        "counter",
        _LINK,
        "Readings that were sent before the clock was right, and whose times were mended since.",
        of_link(lambda _, link: link.stats.time_fixed_readings),
    ),
    Metric(
        _P + "link_certificate_expiry_timestamp_seconds",
        "gauge",
        _LINK,
        "Unix time at which the first of our client certificate and the private CA's ends; "
        "absent without such files, and while they cannot be read.",
        of_link(lambda _, link: link.stats.certificate_expires_s),
    ),
)
