"""Training of teacher, aligner and student: data, losses, optimizer, one torch loop, and backends that run it."""
