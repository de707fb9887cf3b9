"""Training examples of the aligner: from parallel text, lexicons, translators and pairs of the user."""
