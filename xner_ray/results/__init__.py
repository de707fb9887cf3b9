"""The results of a finished run: reading them, reports, and exports with cards."""
