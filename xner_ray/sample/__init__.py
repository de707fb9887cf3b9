"""A made-up parallel corpus with known answers, so that the whole house can be tried and tested without a download.

It trades realism for truth: every sentence comes from a hand-written frame, so entity spans are exact on both sides.
"""
