"""Training examples of the aligner: from parallel text, lexicons, translators, Wikipedia and pairs of the user."""
