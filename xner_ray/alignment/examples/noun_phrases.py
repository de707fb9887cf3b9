"""Noun-phrase-like spans of English, without a tagger or a parser.

The paper adds noun phrases and nominal entities to the aligner's training, so that it aligns what a teacher finds by
mistake too, and does not learn that only names have translations. A short stop list is enough: what is no phrase
seldom survives the agreement filter of the bootstrap. Runs on the few thousand sentences that examples come from, so a
plain loop.
"""

from __future__ import annotations

from xner_ray.text.words import tokenize_words

LONGEST = 8  # words of a phrase: long names are the hard ones, and gold for them is rare

_STOP_WORDS = """
a an the this that these those my your his her its our their some any no every each all both such what which who whom
whose i you he she it we they me him us them myself himself herself itself ourselves yourself themselves one ones
am is are was were be been being do does did done doing have has had having will would shall should can could may might
must to at by from with without within into onto upon about above below under over between among through
during before after since until against toward towards across along around behind beside beyond despite except like
near off out up down as than or but nor so yet if then else when while where why how because although though whether
unless not n't 's 're 've 'll 'd 'm there here now also just only very too more most much many few less least other
another same own again once ever never always often still already even well quite rather almost however therefore thus
please yes said says say told tell got get gets go goes went make makes made take takes took come comes came see saw
know knew
"""
_STOP = frozenset(_STOP_WORDS.split())
_JOINTS = frozenset(("of", "and", "the", "for", "on", "in"))


def noun_phrases(text: str) -> list[tuple[int, int]]:
    """Character spans of candidates, sorted, overlapping.

    A candidate is one to eight words of which the first and the last are content words; inside, of all function words,
    only a few may stand, as in `Committee on Employment and Social Affairs`. Punctuation ends a candidate.
    """
    cut = tokenize_words(text, "en")
    kinds = [_kind(text[a:b]) for a, b in cut]
    found = []
    for i, kind in enumerate(kinds):
        if kind != "content":
            continue
        for j in range(i, min(i + LONGEST, len(cut))):
            if kinds[j] == "wall":
                break
            if kinds[j] == "content":
                found.append((cut[i][0], cut[j][1]))
    return found


def capitalized_spans(text: str) -> list[tuple[int, int]]:
    """Character spans of maximal runs of capitalized content words that do not begin the sentence: names, mostly."""
    cut = tokenize_words(text, "en")
    found, at = [], 1
    while at < len(cut):
        end = at
        while end < len(cut) and _is_capital(text[slice(*cut[end])]):
            end += 1
        if end > at:
            found.append((cut[at][0], cut[end - 1][1]))
        at = max(end, at + 1)
    return found


def _is_capital(word: str) -> bool:
    return word[:1].isupper() and _kind(word) == "content"


def _kind(word: str) -> str:
    """content, joint (may stand inside) or wall."""
    low = word.lower()
    if low in _JOINTS:
        return "joint"
    if low in _STOP or not any(c.isalpha() for c in word):
        return "wall"
    return "content"
