"""Named-entity recognition in one language: training data from gold, taggers, and decoding to character spans."""
