"""What a finished run shows: tables on a terminal, example pairs, and report.html."""
