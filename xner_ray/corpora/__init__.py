"""Parallel corpora: archives in six formats become filtered, sampled and deduplicated Parquet shards."""
