"""Training: one plain loop for teacher, aligner and student, its losses, freezing and batches."""
