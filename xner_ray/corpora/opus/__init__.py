"""OPUS: its index, selection of archives and their download."""
