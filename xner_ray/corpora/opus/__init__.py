"""OPUS: its index, the choice of archives and their download."""
