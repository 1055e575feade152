"""Legacy home of ``MetricRecord``."""

from flwr.app.metricrecord import MetricRecord

__all__ = ["MetricRecord"]
