"""Stand-ins for encoders: random weights, or no model at all."""
