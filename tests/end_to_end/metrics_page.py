"""One scrape of /metrics, read by Prometheus' own client library."""

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

__all__ = ["MetricsPage"]

PREFIX = "citylab_gateway_"


class MetricsPage:
    """The samples of one scrape; names are given without the prefix of this project."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = list(text_string_to_metric_families(text))
        self._samples: dict[str, list[Sample]] = {}
        for family in self.families:
            for sample in family.samples:
                self._samples.setdefault(sample.name, []).append(sample)

    def samples(self, name: str, **labels: str) -> list[Sample]:
        """Return the samples that have at least these labels."""
        return [
            sample
            for sample in self._samples.get(PREFIX + name, [])
            if labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, **labels: str) -> float:
        """Return the one sample with these labels."""
        found = self.samples(name, **labels)
        assert len(found) == 1, f"{name}{labels}: {found}"
        return float(found[0].value)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with these labels; 0 if there is none."""
        return float(sum(sample.value for sample in self.samples(name, **labels)))
