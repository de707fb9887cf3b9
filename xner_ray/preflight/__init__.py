"""Checks before a run: cluster, storage, models and resources."""
