"""Encoders: loading, tokenization, batching, and the engines that run their forward passes."""
