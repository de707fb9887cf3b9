"""The part of the config that says which projections are kept, what they are called, and what of them is trained on."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from xner_ray.config.data import Model, Positive, Share


class Rules(Model):
    """Thresholds on stored scores and conventions of the targets' gold; changing them needs no new labeling."""

    min_entity_score: Share = Field(0.0, description="low_score: an entity that the teacher scored below.")
    min_projection_score: Share = Field(0.0, description="low_score: a projection that the aligner scored below.")
    derived_word_type: dict[str, str] = Field(
        {},
        description="By language the type, or O, of words derived from a name or compounded with one"
        " (Londoner Börse, US-Präsident); not listed: as projected.",
    )
    lowercase_word_type: dict[str, str] = Field(
        {},
        description="By language the type, or O, of single words in lower case for a capitalized name"
        " (estadounidense); not listed: as projected.",
    )
    demonym_country_type: dict[str, str] = Field(
        {},
        description="By language whose word for a people is the country's name (中国 of Chinese) the type that such names"
        " get when the teacher gives them one that `teacher.drop_types` takes from the language.",
    )
    surface_type_overrides: dict[str, dict[str, str]] = Field(
        {},
        description="By language the type, or O, that a target text has wherever it is a projected name, whatever the teacher"
        " said ({zh: {我国: O}}); written as in the text, and stronger than `derived_word_type` and `lowercase_word_type`.",
    )

    def identity(self) -> dict[str, Any]:
        """What decides about the content, for fingerprints: words that are not set leave no trace in older ones."""
        return self.model_dump(exclude=set() if self.surface_type_overrides else {"surface_type_overrides"})


class DatasetConfig(Model):
    """What of the projected sentences becomes training data."""

    max_sentences: Positive = Field(40000, description="Most sentences a language, those without entities included.")
    no_entity_ratio: Share = Field(0.2, description="Share of sentences without any entity, equal in all domains.")
    corpora: list[str] | dict[str, list[str]] | None = Field(
        None,
        description="Choose from these corpora alone, by name, or by language (not listed: all); default: from all.",
    )
    quotes_inside_entity: list[str] = Field(
        [],
        description="Languages whose gold has the quotation marks around a name in it, as CoNLL-2002's Spanish"
        ' (`"El País"`); not listed: outside.',
    )

    def of(self, language: str) -> DatasetConfig:
        """As it is for one language."""
        chosen = self.corpora.get(language) if isinstance(self.corpora, dict) else self.corpora
        return self.model_copy(update={"corpora": chosen})

    def identity(self) -> dict[str, Any]:
        """What decides about the content, for fingerprints: a choice that is not made leaves no trace in older ones."""
        return self.model_dump(
            exclude={name for name in ("corpora", "quotes_inside_entity") if not getattr(self, name)}
        )
