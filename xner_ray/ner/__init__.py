"""Named entities of one language: gold to training data, the tagger, decoding to character spans."""
