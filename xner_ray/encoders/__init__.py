"""Encoders: one door to load them, one engine to run them."""
