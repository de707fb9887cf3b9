"""What the paper says where our tables say something: so that a page has both, side by side.

Its ablation is German CoNLL-2002 [sic] test with mBERT, its domains are Chinese with 40,000 sentences each; the figures of its
size study and of its Fig. 3 and 4 are not printed as numbers.
"""

from __future__ import annotations

ABLATION = {  # precision, recall, F1: its Table 3
    "sequential, reweighted": (73.1, 76.2, 74.6),
    "zero-transfer": (67.6, 77.4, 72.1),
    "sequential, cross entropy": (71.2, 74.3, 72.7),
    "no English, reweighted": (71.0, 73.6, 72.3),
    "mixed, cross entropy": (73.1, 75.9, 74.5),
    "mixed, reweighted": (65.5, 42.6, 51.6),
}
DOMAINS = {  # entities in the training data: its Table 2
    "subtitles": {"PER": 24036, "ORG": 3809, "LOC": 5196, "all": 33041},
    "un": {"PER": 1094, "ORG": 25875, "LOC": 12718, "all": 39687},
    "news": {"PER": 10977, "ORG": 9568, "LOC": 28168, "all": 48713},
    "all": {"PER": 10454, "ORG": 14269, "LOC": 17412, "all": 42135},
}
