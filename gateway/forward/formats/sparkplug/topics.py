"""The Sparkplug name space: five levels, of which group, edge node and device are ours."""

from typing import Literal, NamedTuple, Self

from gateway.errors import ConfigError
from gateway.forward.formats.base import FormatContext, render_topic

__all__ = ["NAMESPACE", "EdgeTopics", "state_topic"]

NAMESPACE = "spBv1.0"
ALLOWED = f"{NAMESPACE}/<group>/DDATA/<edge node>/{{sensor}}"


class EdgeTopics(NamedTuple):
    """The topics of one edge node."""

    group: str
    edge: str

    @classmethod
    def of(cls, template: str, context: FormatContext) -> Self:
        """Take group and edge node from the template of the data topic.

        Raises ConfigError when it is none of Sparkplug's: hosts find nothing elsewhere.
        """
        levels = template.split("/")
        if [*levels[::2], len(levels)] != [NAMESPACE, "DDATA", "{sensor}", 5]:
            raise ConfigError("is no Sparkplug topic", key="topic", value=template, allowed=ALLOWED)
        group, edge = (render_topic(level, context) for level in levels[1::2])
        if not group or not edge or set("+#") & set(group + edge):
            raise ConfigError("is no Sparkplug topic", key="topic", value=template, allowed=ALLOWED)
        return cls(group, edge)

    def node(self, kind: Literal["NBIRTH", "NDEATH", "NCMD"]) -> str:
        """Return the topic of a message of, or to, the edge node itself."""
        return f"{NAMESPACE}/{self.group}/{kind}/{self.edge}"

    def device(self, kind: Literal["DBIRTH", "DDATA", "DDEATH"], device: str) -> str:
        """Return the topic of a message of one device."""
        return f"{NAMESPACE}/{self.group}/{kind}/{self.edge}/{device}"


def state_topic(host: str) -> str:
    """Return where a host application says whether it is online."""
    return f"{NAMESPACE}/STATE/{host}"
