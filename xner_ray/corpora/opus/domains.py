"""Domains of well-known corpora of OPUS.

OPUS itself does not publish domains. A corpus that this list lacks has no domain.
"""

from __future__ import annotations

_DOMAINS = {
    "talks": ["TED2013", "TED2020", "NeuLab-TedTalks", "TedTalks", "QED"],
    "subtitles": ["OpenSubtitles", "MontenegrinSubs", "TEP", "JESC"],
    "wiki": ["WikiMatrix", "Wikipedia", "wikimedia", "WikiTitles", "LinguaTools-WikiTitles", "XLEnt"],
    "un": ["UN", "UNPC", "MultiUN"],
    "parliament": ["Europarl"],
    "news": ["WMT-News", "News-Commentary", "GlobalVoices", "SETIMES", "SUMMA", "Bianet"],
    "religion": ["JW300", "bible-uedin", "Tanzil"],
    "law": ["JRC-Acquis", "DGT", "EUconst", "EUbookshop", "ELITR-ECA", "Finlex"],
    "patents": ["EuroPat"],
    "medicine": ["EMEA", "ECDC", "tico-19", "memat"],
    "science": ["SciELO", "CAPES"],
    "finance": ["ECB"],
    "software": ["KDE4", "KDEdoc", "GNOME", "Ubuntu", "PHP", "OpenOffice"],
    "books": ["Books", "Salome", "WikiSource", "EhuHac"],
    "web": [
        *("CCAligned", "MultiCCAligned", "CCMatrix", "NLLB", "HPLT", "MultiHPLT", "MaCoCu", "MultiMaCoCu"),
        *("ParaCrawl", "ParaCrawl-Bonus", "MultiParaCrawl", "JParaCrawl", "TildeMODEL", "giga-fren", "infopankki"),
    ],
    "everyday": ["Tatoeba"],
}
_BY_NAME = {name.lower(): domain for domain, names in _DOMAINS.items() for name in names}


def domain_of(corpus: str) -> str | None:
    """Return the domain of an OPUS corpus, e.g. `subtitles`; None where the list lacks the corpus."""
    return _BY_NAME.get(corpus.lower())
