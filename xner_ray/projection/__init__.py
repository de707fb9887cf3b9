"""From projected spans to training sentences: the rules, the ledger, tokens and tags, the choice of sentences."""
