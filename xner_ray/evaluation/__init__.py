"""Gold data and scores: CoNLL files, entity precision, recall and F1, projection scores."""
