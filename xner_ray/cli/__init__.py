"""The `xner` command: one file for each group of commands."""
