"""What can be watched while a run works: Prometheus metrics, structured logs, progress on a terminal, and a work log.

No result depends on this package. The run's own account is its ledger and its manifests; the metrics show the same numbers
while they grow, at the cost of a few counters per shard.
"""
