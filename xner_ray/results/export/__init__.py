"""Exports of datasets and models to the formats of other libraries, each with a card that describes it."""
