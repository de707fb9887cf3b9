"""Stand-ins for models: a tiny encoder with random weights (`tiny`) and an engine without a model (`null`)."""
