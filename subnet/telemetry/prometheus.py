"""Counters, gauges and histograms of one neuron, on a registry of its own, as Prometheus text."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Registry:
    """Makes each metric at its first use; `help` texts come with the names in `HELP`."""

    def __init__(self, role: str, help: Mapping[str, str]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._prefix, self._help = f"assay_{role}_", help
        self._metrics: dict[str, Counter | Gauge | Histogram] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        metric = self._metric(Counter, name, labels)
        (metric.labels(**labels) if labels else metric).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        metric = self._metric(Gauge, name, labels)
        (metric.labels(**labels) if labels else metric).set(value)

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        metric = self._metric(Histogram, name, labels)
        (metric.labels(**labels) if labels else metric).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def _metric(self, kind: type, name: str, labels: Mapping[str, str]):
        if name not in self._metrics:
            extra = {"buckets": SECONDS} if kind is Histogram else {}
            self._metrics[name] = kind(
                self._prefix + name, self._help[name], sorted(labels), registry=self._registry, **extra
            )
        return self._metrics[name]
