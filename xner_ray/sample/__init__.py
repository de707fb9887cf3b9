"""A generated parallel corpus with known entities, to try and test the program without a download.

Every sentence comes from a hand-written frame, so entity spans are exact on both sides, but the text is not realistic.
"""
