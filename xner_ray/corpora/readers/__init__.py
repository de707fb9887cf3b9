"""Readers: each format of parallel text becomes the same stream of Arrow chunks."""
