"""Taking results elsewhere: datasets and models in the formats of other libraries, with cards that say what they are."""
