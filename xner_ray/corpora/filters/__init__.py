"""Filters of sentence pairs: validity, quality, language identification and CJK spacing."""
