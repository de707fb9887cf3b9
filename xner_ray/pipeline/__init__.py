"""The stages of a run, the runner that calls them, and what they share."""
