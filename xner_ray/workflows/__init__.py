"""Workflows of several runs: the nightly refresh, and the studies of the paper. No lower package imports them."""
