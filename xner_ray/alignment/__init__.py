"""Where a source entity lies in the target sentence: queries, the aligner's training examples, span decoding."""
