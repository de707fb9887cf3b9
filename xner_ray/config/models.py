"""Sections of the config for the models: teacher, aligner and students."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from xner_ray.config.base import Distinct, Fraction, LanguageCode, PositiveInt, Seed, StrictModel, check_distinct
from xner_ray.config.training import TrainingConfig

COLLAPSED_F1 = 5.0  # percent; an aligner below it gives all words about the same probability
_ENCODER = "`embedded` (part of the package), a Hugging Face hub id, or a folder."


class TeacherConfig(StrictModel):
    """The tagger that labels the source side."""

    encoder: str = Field("embedded", description=f"Encoder to fine-tune: {_ENCODER}")
    drop_types: dict[LanguageCode, list[str]] = Field(
        {},
        description="Entity types that become O before training, by target language, e.g. {zh: [MISC]}. Each distinct"
        " set of types needs its own teacher.",
    )
    training: TrainingConfig = TrainingConfig(loss="focal", gamma=2.0)
    model: str | None = Field(
        None,
        description="A trained tagger to use instead of training one: a folder, a hub id, or `spacy:` followed by a"
        " spaCy package or folder. Default: train a teacher.",
    )
    label_map: dict[str, str] = Field(
        {},
        description="Types of `model` to rename, e.g. {PERSON: PER, DATE: O}. Keys may be whole labels:"
        " {LABEL_1: B-PER}.",
    )
    min_f1: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Minimum F1 of the teacher, in percent, on each set of `dev`. A lower one stops the run before it labels.",
    )

    @model_validator(mode="after")
    def _check(self) -> TeacherConfig:
        if self.label_map and self.model is None:
            raise ValueError("`label_map` renames the labels of `model`, and `model` is not set")
        return self


class AlignerConfig(StrictModel):
    """The model that finds the translation of a source entity in the target sentence."""

    encoder: str = Field("embedded", description=f"Encoder to fine-tune: {_ENCODER}")
    num_examples: PositiveInt = Field(4000, description="Training examples per target language.")
    negative_ratio: Fraction = Field(
        0.25, description="Fraction of examples whose name does not occur in the sentence."
    )
    noun_phrase_ratio: Fraction = Field(
        0.3,
        description="Fraction of the positive examples of the sources `bootstrap` and `translator` that are noun phrases or"
        " nominals instead of entities; of the source `wikipedia` at most this fraction. An error if no such source has a"
        " weight.",
    )
    example_sources: dict[
        Literal["bootstrap", "pairs", "lexicon", "translator", "wikipedia"], Annotated[float, Field(ge=0)]
    ] = Field(
        {"bootstrap": 0.85, "lexicon": 0.15},
        description="Sources of positive examples, with their relative weights.",
    )
    examples_file: str | None = Field(
        None,
        description="TSV file `name, sentence, start, end` for the source `pairs`. `{language}` is replaced.",
    )
    lexicon: str | None = Field(
        None,
        description="TSV file `name, target name` for the source `lexicon`. Default: country and language names of"
        " Unicode CLDR.",
    )
    translator: str | None = Field(
        None,
        description="Folder or hub id of a Transformers seq2seq model for the source `translator`: Marian from target to"
        " source language, M2M100, NLLB or mBART. `{language}` is replaced.",
    )
    wikipedia_dump: str | None = Field(
        None,
        description="File of dumps.wikimedia.org for the source `wikipedia`, whose links give examples: LANGUAGEwiki-DATE-"
        "pages-articles.xml.bz2 of the target language, or a part of it. `{language}` is replaced.",
    )
    wikipedia_langlinks: str | None = Field(
        None,
        description="File of dumps.wikimedia.org for the source `wikipedia`, with the titles in the source language:"
        " LANGUAGEwiki-DATE-langlinks.sql.gz of the target language. `{language}` is replaced.",
    )
    similarity_layer: int = Field(
        7, ge=0, description="Hidden layer of the untrained similarity, which bootstraps examples and chooses spans."
    )
    similarity_weight: Fraction = Field(
        0.7,
        description="Weight of the untrained similarity, which chooses spans together with the aligner. `max_gap_words` is"
        " then not used, and `threshold` only for pairs of one token and for repeated names. It needs `one_to_one`. 0 (the"
        " paper): no similarity. 1: no aligner; it is still trained, and `min_f1` has no meaning.",
    )
    exact_match_score: Fraction = Field(
        0.99,
        description="Score of exact string matches, which skip both aligners. A match must occur equally often on both"
        " sides, in a language with spaces. 0 (the paper): no exact matching.",
    )
    threshold: Fraction = Field(0.5, description="Minimum probability of a word that belongs to the entity.")
    max_gap_words: int = Field(
        1,
        ge=0,
        description="Maximum number of words below the threshold inside a span. Two parts of equal text are not joined, and no"
        " word near 0 is inside a span. 0: the paper's setting.",
    )
    one_to_one: bool = Field(
        True,
        description="Assign spans jointly: entities of a pair share no words, and none has more distinct texts than"
        " mentions. false (the paper): decide each entity alone.",
    )
    min_f1: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Minimum F1 of the aligner, in percent, on examples of each language which it is not trained on: a"
        " tenth of them, at most 300, and none of fewer than 100. A lower one stops the run before it labels. Default: 5 if"
        " `similarity_weight` is 0. Otherwise a bad aligner is left out with a warning, because the similarity projects"
        " without it.",
    )
    training: TrainingConfig = TrainingConfig(epochs=1, loss="cross_entropy")

    @field_validator("training")
    @classmethod
    def _set_head_bias(cls, training: TrainingConfig) -> TrainingConfig:
        return training if training.head_bias else training.model_copy(update={"head_bias": "frequencies"})

    @property
    def required_f1(self) -> float:
        """`min_f1` or its default."""
        default = 0.0 if self.similarity_weight else COLLAPSED_F1
        return default if self.min_f1 is None else self.min_f1

    @model_validator(mode="after")
    def _check(self) -> AlignerConfig:
        needed = {"pairs": ["examples_file"], "translator": ["translator"]}
        needed |= {"wikipedia": ["wikipedia_dump", "wikipedia_langlinks"]}
        for source, weight in self.example_sources.items():
            for key in needed.get(source, ()) if weight > 0 else ():
                if getattr(self, key) is None:
                    raise ValueError(f"example source `{source}` needs the key `{key}`")
        weighed = {source for source, weight in self.example_sources.items() if weight > 0}
        readers = {"noun_phrase_ratio": {"bootstrap", "translator", "wikipedia"}, "examples_file": {"pairs"}}
        readers |= {"lexicon": {"lexicon"}, "translator": {"translator"}}
        readers |= {key: {"wikipedia"} for key in ("wikipedia_dump", "wikipedia_langlinks")}
        for key, sources in readers.items():
            is_set = key in self.model_fields_set and getattr(self, key) != type(self).model_fields[key].default
            if is_set and weighed and not weighed & sources:
                names = " or ".join(f"`{source}`" for source in sorted(sources))
                raise ValueError(
                    f"`{key}` has no effect: `example_sources` gives {names} no weight; add it or drop the key"
                )
        if sum(self.example_sources.values()) <= 0:
            raise ValueError("the weights of `example_sources` add up to 0")
        if self.similarity_weight and not self.one_to_one:
            raise ValueError("`similarity_weight` needs `one_to_one`: set it to 0 to use the aligner alone")
        if self.similarity_weight == 1 and self.min_f1:
            raise ValueError(
                "`min_f1` scores the aligner, which `similarity_weight: 1` leaves out: drop `min_f1`, or lower the weight"
            )
        return self


class StudentConfig(StrictModel):
    """The target-language taggers, trained on source gold and on projected sentences."""

    encoder: str | list[str] = Field("embedded", description=f"Encoder: {_ENCODER} A list: students from each.")
    seeds: Annotated[list[Seed], Distinct] = Field(
        [1], min_length=1, description="One student per seed. Reported scores are their mean."
    )
    schedule: Literal["sequential", "mixed", "target_only", "source_only"] = Field(
        "sequential",
        description="sequential: first source gold, then projected sentences. mixed: both at once, each as often as in"
        " sequential. target_only: projected sentences alone. source_only: source gold alone (zero-transfer).",
    )
    source_training: TrainingConfig | None = Field(
        None, description="Training on source gold. Default: `teacher.training`."
    )
    source_model_per_seed: bool = Field(
        False,
        description="Train a separate source model for each seed. Default: all seeds share one, trained with the key"
        " `seed`.",
    )
    training: TrainingConfig = TrainingConfig(epochs=1, loss="reweighted", gamma=4.0, num_frozen_layers=3)
    mask_unlabeled_capitalized: bool = Field(
        True,
        description="Compute no loss on unlabeled capitalized words inside a sentence, in languages where a capital"
        " letter marks names. false (the paper): their label is O.",
    )

    @property
    def encoders(self) -> list[str]:
        """The encoders that students are trained from."""
        return [self.encoder] if isinstance(self.encoder, str) else self.encoder

    @field_validator("encoder")
    @classmethod
    def _check_encoders(cls, encoder: str | list[str]) -> str | list[str]:
        if not encoder:
            raise ValueError("at least one encoder is needed")
        return check_distinct(encoder) if isinstance(encoder, list) else encoder
