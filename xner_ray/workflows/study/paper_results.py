"""The results that the paper prints, for the tables that show them beside ours.

The paper's ablation is for German, on the CoNLL-2002 [sic] test set, with mBERT. Its domains are for Chinese, with 40,000
sentences each. It does not print the numbers of its size study and of its Fig. 3 and 4.
"""

from __future__ import annotations

ABLATION = {  # Table 3: precision, recall, F1
    "sequential, reweighted": (73.1, 76.2, 74.6),
    "zero-transfer": (67.6, 77.4, 72.1),
    "sequential, cross entropy": (71.2, 74.3, 72.7),
    "no English, reweighted": (71.0, 73.6, 72.3),
    "mixed, cross entropy": (73.1, 75.9, 74.5),
    "mixed, reweighted": (65.5, 42.6, 51.6),
}
DOMAINS = {  # Table 2: entities in the training data
    "subtitles": {"PER": 24036, "ORG": 3809, "LOC": 5196, "all": 33041},
    "un": {"PER": 1094, "ORG": 25875, "LOC": 12718, "all": 39687},
    "news": {"PER": 10977, "ORG": 9568, "LOC": 28168, "all": 48713},
    "all": {"PER": 10454, "ORG": 14269, "LOC": 17412, "all": 42135},
}
