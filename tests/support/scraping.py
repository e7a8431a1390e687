"""An exposition as Prometheus reads it: parsed by the client library's own parser, and looked up by name and labels."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

OWN = "bridged_"


class Scrape:
    """One answer of `/metrics`, in the text format."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: Mapping[str, Metric] = {one.name: one for one in text_string_to_metric_families(text)}

    @property
    def names(self) -> dict[str, str]:
        """Every metric, as it is written in a query (histograms without a suffix), with its type."""
        return {
            f"{name}_total" if one.type == "counter" else name: one.type for name, one in self.families.items()
        }  # fmt: skip

    @property
    def series(self) -> set[str]:
        """Every name that a query may use, where there is a sample or not."""
        found = set()
        for name, kind in self.names.items():
            found |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if kind == "histogram" else {name}
        return found

    def samples(self, name: str, **labels: str) -> list[float]:
        """The values of all series of that name that bear these labels."""
        return [
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, **labels: str) -> float:
        """Of the one series that there must be."""
        (found,) = self.samples(name, **labels)
        return found

    def labels(self) -> dict[str, dict[str, set[str]]]:
        """Of each of our own series, its labels with every value they have."""
        found: dict[str, dict[str, set[str]]] = {}
        for family in self.families.values():
            for sample in family.samples:
                if sample.name.startswith(OWN):
                    of = found.setdefault(sample.name, {})
                    for label, value in sample.labels.items():
                        of.setdefault(label, set()).add(value)
        return found
