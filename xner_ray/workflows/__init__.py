"""Sequences of runs: the nightly refresh and the studies of the paper. Nothing below imports them."""
