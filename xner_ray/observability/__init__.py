"""What a run lets be seen while it runs: metrics for Prometheus, structured logs, progress on a terminal.

Nothing rests on it. The account of a run is its ledger and its manifests; here are their numbers while they grow, at the cost
of a few counters a shard.
"""
