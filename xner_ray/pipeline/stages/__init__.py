"""The way through the house: one module a stage, each binding the config to the rooms, and the pipeline that calls them."""
