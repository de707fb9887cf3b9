"""The root of the config that `xner` and `jobs/` read from YAML.

Each key is a field with a default and a description. Unknown keys and contradictions are errors that name file, line, key
and remedy (`load.py`). This package imports neither torch nor Ray, so that `xner --help` answers fast.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, model_validator

from xner_ray.config.base import Distinct, LanguageCode, Seed, StrictModel
from xner_ray.config.corpora import CorpusConfig, IngestConfig, OpusConfig, SampleConfig
from xner_ray.config.dataset import DatasetConfig, RulesConfig
from xner_ray.config.gold import GoldConfig
from xner_ray.config.labeling import LabelConfig, RayConfig
from xner_ray.config.models import AlignerConfig, StudentConfig, TeacherConfig
from xner_ray.config.refresh import RefreshConfig
from xner_ray.config.study import StudyConfig
from xner_ray.language_codes import known_language


class Config(StrictModel):
    """All keys of a run."""

    name: str = Field(description="Name of the run. An output folder belongs to one name.")
    out: str = Field(description="Output folder.")
    data: str | None = Field(None, description="Folder that replaces `{data}` in paths. Ignored with `sample`.")
    seed: Seed = Field(1, description="Random seed of sampling, shuffling and the aligner's examples.")
    languages: Annotated[list[LanguageCode], Distinct] = Field(
        min_length=1,
        description="Target languages. Any usual spelling of a code is normalized: `zh_CN`, `zh-Hans` and `cmn` are `zh`."
        " Regional variants are languages of their own: `pt_BR`, `zh_TW`.",
    )
    source_language: LanguageCode = Field(
        "en", description="Language of the source gold and of the source side of corpora."
    )
    sample: SampleConfig | None = Field(
        None, description="Generate the sample corpus first and use it as `data`. Default: no sample."
    )
    gold: list[GoldConfig] = Field(min_length=1, description="Training gold of the source language.")
    dev: list[GoldConfig] = Field(
        [],
        description="Development gold of the source language. It scores the teacher, and calibrates the scores of teachers"
        " and students that the run trains.",
    )
    corpora: list[CorpusConfig] = Field(
        min_length=1, description="Parallel corpora. They share the number of pairs by their `weight`."
    )
    opus: OpusConfig = OpusConfig()
    ingest: IngestConfig = IngestConfig()
    teacher: TeacherConfig = TeacherConfig()
    aligner: AlignerConfig = AlignerConfig()
    label: LabelConfig = LabelConfig()
    rules: RulesConfig = RulesConfig()
    dataset: DatasetConfig = DatasetConfig()
    student: StudentConfig = StudentConfig()
    evaluation: list[GoldConfig] = Field([], description="Gold of the target languages, only to evaluate.")
    study: StudyConfig = StudyConfig()
    refresh: RefreshConfig = RefreshConfig()
    ray: RayConfig = RayConfig()

    _written: dict[str, str] = PrivateAttr({})  # languages as the file spells them, for paths

    @model_validator(mode="wrap")
    @classmethod
    def _keep_spellings(cls, keys: Any, handler: ModelWrapValidatorHandler[Config]) -> Config:
        config = handler(keys)
        if isinstance(keys, dict):
            codes = [*keys["languages"], keys.get("source_language", "en")]
            config._written = {language: code for code in codes if (language := known_language(str(code)))}
        return config

    @model_validator(mode="before")
    @classmethod
    def _fill_gold_language(cls, keys: Any) -> Any:
        """Gold without a `language` is in the source language."""
        if not isinstance(keys, dict) or "source_language" not in keys:
            return keys
        filled = dict(keys)
        for section in ("gold", "dev", "evaluation"):
            if isinstance(keys.get(section), list):
                filled[section] = [
                    {"language": keys["source_language"], **item} if isinstance(item, dict) else item
                    for item in keys[section]
                ]
        return filled

    @model_validator(mode="after")
    def _check(self) -> Config:
        if self.source_language in self.languages:
            raise ValueError(f"`languages` holds the source language, `{self.source_language}`")
        if self.teacher.min_f1 and not self.dev:
            raise ValueError("`teacher.min_f1` needs gold of the source language under `dev`")
        for section in ("teacher", "aligner", "student"):
            training = getattr(self, section).training
            usual = type(training).model_fields["tokens_per_step"].default
            if training.sequences_per_step is not None and training.tokens_per_step != usual:
                raise ValueError(f"{section}.training: give `tokens_per_step` or `sequences_per_step`, not both")
        for section in ("gold", "dev", "evaluation"):
            for n, gold in enumerate(getattr(self, section)):
                gold._key = f"{section}.{n}"
        for n, corpus in enumerate(self.corpora):
            corpus._index = n
            if corpus.languages is not None:
                corpus.languages = [language for language in corpus.languages if language in self.languages]
        for language in self.languages:
            if not self.corpora_of(language):
                raise ValueError(f"no corpus has the language `{language}`: add one under `corpora`, or drop it")
            names = [corpus.name for corpus in self.corpora_of(language)]
            if len(set(names)) < len(names):
                raise ValueError("two corpora of a language have the same `name`, and pair ids are unique by name")
        selected = self.dataset.corpora or []
        names = list(chain.from_iterable(selected.values())) if isinstance(selected, dict) else selected
        known = {corpus.name for corpus in self.corpora}
        grouped = list(chain.from_iterable(self.dataset.balanced_domains.values()))
        for key, chosen in (("corpora", names), ("balanced_domains", grouped)):
            for name in chosen:
                if name not in known:
                    raise ValueError(f"dataset.{key}: no corpus is named `{name}`, only {', '.join(sorted(known))}")
        for domain, grouped in self.dataset.balanced_domains.items():
            if names and not set(grouped) & set(names):
                raise ValueError(f"dataset.balanced_domains: no corpus of `{domain}` is in dataset.corpora")
        return self

    @property
    def data_dir(self) -> str | None:
        """The folder that replaces `{data}`: that of the generated sample if there is one, else the key `data`."""
        return str(Path(self.out) / "sample") if self.sample else self.data

    def fill(self, path: str, language: str | None = None) -> str:
        """Replace `{data}`, and with a target language `{language}` and `{pair}`, in a path of this config.

        Languages are spelled as in the config file, e.g. `zh_CN`.
        """
        values = {"data": self.data_dir or ""}
        if language:
            source, target = (self._written.get(x, x) for x in (self.source_language, language))
            values |= {"language": target, "pair": "-".join(sorted((source, target)))}
        for key, value in values.items():
            path = path.replace("{" + key + "}", value)
        return path

    def corpora_of(self, language: str) -> list[CorpusConfig]:
        """The corpora that have a target language, in the order of the config."""
        return [c for c in self.corpora if c.languages is None or language in c.languages]
