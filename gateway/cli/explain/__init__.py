"""``check --explain``: what the configured filters do to recorded readings of one sensor.

Nothing is written and no port is opened; the same readings give the same answer.
"""

from gateway.cli.explain.command import add_arguments, explain

__all__ = ["add_arguments", "explain"]
