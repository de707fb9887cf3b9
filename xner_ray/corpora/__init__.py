"""Parallel corpora: archives in any of five formats become cleaned, sampled Parquet shards."""
