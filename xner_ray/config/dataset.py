"""Sections of the config for projected data: which projections are kept, their types, and which sentences are trained on."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from xner_ray.config.base import Fraction, LanguageCode, PositiveInt, StrictModel
from xner_ray.language_codes import normalize_language


class RulesConfig(StrictModel):
    """Thresholds on stored scores, and label conventions of the target gold. Changes need no new labeling."""

    min_entity_score: Fraction = Field(
        0.0,
        description="Minimum teacher score of an entity. A sentence with a lower score is dropped as low_score. The scores of a"
        " teacher that the run trains are calibrated if it finds at least 20 entities in `dev`: of entities with a score of 0.9,"
        " about 90% are correct. `teacher.model` keeps its own scores, which may be too high or too low, and a spaCy pipeline"
        " scores each entity 1.",
    )
    min_projection_score: Fraction = Field(
        0.0,
        description="Minimum score of a projection: of its span in the mix of similarity and aligner, see docs/method.md. It is"
        " calibrated where a run trains an aligner that chooses spans together with the similarity: of projections with a"
        " score of 0.9, about 90% are correct in text like the run's own. A sentence with a lower score is dropped as low_score.",
    )
    derived_word_type: dict[LanguageCode, str] = Field(
        {},
        description="Type, or O, by target language, of words that are derived from a name or compounded with one"
        " (Londoner Börse, US-Präsident). Other languages keep the projected type.",
    )
    lowercase_word_type: dict[LanguageCode, str] = Field(
        {},
        description="Type, or O, by target language, of single lowercase words that translate a capitalized name"
        " (estadounidense). Other languages keep the projected type.",
    )
    demonym_country_type: dict[LanguageCode, str] = Field(
        {},
        description="Type, by target language, of country names used as demonyms (中国 for Chinese), where"
        " `teacher.drop_types` drops the teacher's type.",
    )
    surface_type_overrides: dict[LanguageCode, dict[str, str]] = Field(
        {},
        description="Type, or O, by target language and exact text of a projected name, e.g. {zh: {我国: O}}. It"
        " overrides the teacher's type, `derived_word_type` and `lowercase_word_type`.",
    )


class DatasetConfig(StrictModel):
    """Selection of training sentences from the projected ones."""

    max_sentences: PositiveInt = Field(
        40000, description="Maximum number of sentences per target language, with and without entities."
    )
    no_entity_ratio: Fraction = Field(
        0.2, description="Fraction of sentences without any entity. It is equal in all domains."
    )
    corpora: list[str] | dict[str, list[str]] | None = Field(
        None,
        description="Names of the corpora to select from, or such a list by target language (others: all corpora)."
        " Default: all corpora.",
    )
    balanced_domains: dict[str, list[str]] = Field(
        {},
        description="Groups of corpora, by name, that give equal numbers of sentences: {un: [UN, UNPC], news: [WMT-News]}. If a"
        " group has too few, the others give more. Other corpora give none. Default: each domain gives what its share of the kept"
        " sentences is.",
    )
    quotes_inside_entity: list[LanguageCode] = Field(
        [],
        description="Languages whose gold puts the quotation marks around a name inside the entity, as CoNLL-2002 does"
        ' in Spanish (`"El País"`). Other languages: outside.',
    )

    @field_validator("balanced_domains")
    @classmethod
    def _check_groups(cls, groups: dict[str, list[str]]) -> dict[str, list[str]]:
        names = [name for corpora in groups.values() for name in corpora]
        if twice := next((name for n, name in enumerate(names) if name in names[:n]), None):
            raise ValueError(f"the corpus `{twice}` is given twice")
        return groups

    @field_validator("corpora")
    @classmethod
    def _normalize_languages(cls, corpora: list[str] | dict[str, list[str]] | None) -> Any:
        return {normalize_language(x): v for x, v in corpora.items()} if isinstance(corpora, dict) else corpora

    def for_language(self, language: str) -> DatasetConfig:
        """The section with `corpora` of one language: a list, or None for all corpora."""
        corpora = self.corpora.get(language) if isinstance(self.corpora, dict) else self.corpora
        return self.model_copy(update={"corpora": corpora})
