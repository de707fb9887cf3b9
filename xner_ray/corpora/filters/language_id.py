"""Language identification of sentences with py3langid, which needs only NumPy and contains its model (139 languages).

One core judges about 6,000 sentences (0.7 MB) a second. fastText's lid.176.ftz is about twice as fast, but its wheels
download the model. Short sentences mislead both (py3langid takes "Hello!" for Breton), so sentences below `MIN_CHARS`
get no score.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.errors import UserError
from xner_ray.language_codes import plain_language

MIN_CHARS = 20
MAX_CHARS = 200  # more text takes longer and does not change the result


@functools.cache
def _identifier(norm_probs: bool = True) -> Any:
    try:
        from py3langid import langid
    except ImportError as e:
        remedy = "pip install py3langid, or remove min_language_score"
        raise UserError("the language filter needs py3langid", key="ingest.clean", remedy=remedy) from e
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=norm_probs)


def raw_identifier() -> Any:
    """The identifier with log likelihoods instead of probabilities: they also compare two languages that both fit badly."""
    return _identifier(norm_probs=False)


def identifier_class(code: str) -> str | None:
    """The name of a language in py3langid; None where it does not know the language."""
    code = plain_language(code)
    return code if code in _identifier(norm_probs=False).nb_classes else None


def language_scores(side: pa.StringArray, code: str, languages: tuple[str, str]) -> pa.FloatArray:
    """The probability that each sentence is in a language.

    Args:
        side: string [n].
        code: the language, a normalized code.
        languages: of both sides, to be checked.

    Returns:
        float32 [n] in 0..1; null where the sentence is too short.

    Raises:
        UserError: py3langid is not installed or does not know one of the languages.
    """
    identifier = _identifier()
    for language in languages:
        if identifier_class(language) is None:
            raise UserError(
                f"py3langid does not know the language `{language}`",
                key="ingest.clean.min_language_score",
                remedy="remove the filter for this pair",
            )
    long_enough = pc.greater_equal(pc.utf8_length(side), MIN_CHARS)
    texts = pc.utf8_slice_codeunits(side.filter(long_enough), 0, MAX_CHARS)
    scores = np.zeros(len(side), np.float32)
    mask = long_enough.to_numpy(zero_copy_only=False)
    # The library takes one sentence at a time, so this filter alone loops over rows.
    scores[mask] = [_probability(identifier, text, plain_language(code)) for text in texts.to_pylist()]
    return pa.array(scores, pa.float32(), mask=~mask)


def _probability(identifier: Any, text: str, code: str) -> float:
    return round(dict(identifier.rank(text)).get(code, 0.0), 4)
