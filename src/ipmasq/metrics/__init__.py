"""The metrics of a running gateway, for Prometheus and whatever else reads its formats (docs/metrics.md).

This is the only part that knows `prometheus_client`, and it is imported only if `[metrics] listen` is set.
"""
