"""Noun phrases of source sentences, without a tagger or a parser.

As in the paper, the aligner also trains on noun phrases, so that it aligns what a teacher labels by mistake, and does not learn
that only names have translations. A list of function words (`Language.function_words`) is enough, because the agreement
filter of the bootstrap drops most candidates that are no phrases. The loops run over a few thousand sentences.
"""

from __future__ import annotations

from enum import Enum

from xner_ray.text.languages import get_language
from xner_ray.text.words import tokenize_words

MAX_WORDS = 8  # of a phrase; long phrases matter, because long names are hard and rare in gold


class _WordClass(Enum):
    CONTENT = "content"  # may start and end a phrase
    CONNECTOR = "connector"  # may stand inside a phrase: of, and
    BOUNDARY = "boundary"  # other function words, and punctuation


def noun_phrases(text: str, language: str) -> list[tuple[int, int]]:
    """Candidates of noun phrases: one to eight words without a boundary, the first and the last one a content word.

    Args:
        text: a sentence.
        language: ISO 639-1.

    Returns:
        Half-open character spans, sorted, with overlap.
    """
    words = tokenize_words(text, language)
    classes = [_word_class(text[a:b], language) for a, b in words]
    spans = []
    for i, word_class in enumerate(classes):
        if word_class is not _WordClass.CONTENT:
            continue
        for j in range(i, min(i + MAX_WORDS, len(words))):
            if classes[j] is _WordClass.BOUNDARY:
                break
            if classes[j] is _WordClass.CONTENT:
                spans.append((words[i][0], words[j][1]))
    return spans


def capitalized_spans(text: str, language: str) -> list[tuple[int, int]]:
    """Maximal runs of capitalized content words that do not start the sentence, which are names mostly.

    Args:
        text: a sentence.
        language: ISO 639-1.

    Returns:
        Half-open character spans, sorted.
    """
    words = tokenize_words(text, language)
    is_capitalized = [text[a].isupper() and _word_class(text[a:b], language) is _WordClass.CONTENT for a, b in words]
    spans, start = [], 1
    while start < len(words):
        end = start
        while end < len(words) and is_capitalized[end]:
            end += 1
        if end > start:
            spans.append((words[start][0], words[end - 1][1]))
        start = max(end, start + 1)
    return spans


def _word_class(word: str, language: str) -> _WordClass:
    lowercase, known = word.lower(), get_language(language)
    if lowercase in known.phrase_connectors:
        return _WordClass.CONNECTOR
    if lowercase in known.function_words or not any(map(str.isalpha, word)):
        return _WordClass.BOUNDARY
    return _WordClass.CONTENT
