"""The operator's side of an instance: probes in detail, status page, metrics."""
