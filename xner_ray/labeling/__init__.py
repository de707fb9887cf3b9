"""Labeling: the Ray Data graph over shards, its actors and pools, process isolation, status and quarantine."""
