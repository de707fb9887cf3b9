"""Section of the config for parallel text: the demo sample, corpora, OPUS, cleaning and sampling."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from xner_ray.config.base import Fraction, LanguageCode, PositiveInt, Seed, StrictModel
from xner_ray.language_codes import normalize_language

COLUMN_ROLES = ("id", "source", "target", "score", "skip")


class SampleConfig(StrictModel):
    """Generate a sample corpus (see `xner sample`) and use it as `data`."""

    pairs: PositiveInt = Field(600, description="Sentence pairs per target language, over all sample corpora.")
    seed: Seed = Field(1, description="The same seed gives the same bytes.")
    gold_sentences: PositiveInt = Field(1200, description="Gold sentences of the source language, for training.")
    eval_sentences: PositiveInt = Field(
        300,
        description="Gold sentences per target language, for evaluation. Their sentence frames and names do not occur"
        " in the training data.",
    )


class CorpusConfig(StrictModel):
    """A parallel corpus."""

    name: str = Field(
        description="Name in ledgers and provenance, unique in the config. Default with `opus`: the OPUS name."
    )
    opus: str | None = Field(
        None,
        pattern=r"^[^/\s]+(/[^/\s]+)?$",
        exclude=True,  # the location of pairs does not change them, so no fingerprint holds it
        description="NAME or NAME/VERSION of an OPUS corpus, instead of `path`. Default version: the latest that has"
        " the language pair.",
    )
    domain: str = Field(
        "general",
        description="Domain. `dataset.no_entity_ratio` is equal in all domains, and the domain study compares them."
        " Well-known OPUS corpora have their own default.",
    )
    format: Literal["moses", "tmx", "tsv", "wikimatrix", "lines", "parquet"] = Field(
        description="moses: OPUS zip. tmx: translation memory. tsv: id, source, target[, score]; other columns are"
        " recognized by a header or by their content. wikimatrix: score and the two sides. lines: two line-aligned files"
        " (`path` and `target_path`). parquet: the Hugging Face column `translation`, or columns `source` and `target`."
        " tmx, tsv, wikimatrix and lines may be plain, gz, bz2, xz, zst, or a zip with one file."
    )
    path: str = Field(
        description="File or fsspec URL. `{data}`, `{language}` and `{pair}` (sorted codes, e.g. de-en) are replaced."
    )
    target_path: str | None = Field(None, description="File of the target side, for format `lines`.")
    columns: list[str] | None = Field(
        None,
        description="Columns of a tsv or wikimatrix file, in their order: source and target or the codes of the two"
        " languages, id, score, skip. E.g. [de, en, score]. Default: recognized; the file name (`{pair}`, `de-en`) gives"
        " the order of the languages, and without it the source comes first.",
    )
    languages: list[LanguageCode] | None = Field(
        None, description="Target languages of this corpus. Default: all languages of the config."
    )
    min_score: float | None = Field(
        None, description="Pairs with a lower score are dropped. Default: 1.05 for wikimatrix, else no limit."
    )
    weight: PositiveInt = Field(1, description="Sampling weight relative to the other corpora. The paper: all equal.")
    _index: int | None = PrivateAttr(None)  # in `corpora`

    @property
    def key(self) -> str:
        """The key of this entry as overrides spell it, e.g. `corpora.0`."""
        return f"corpora.{self.name if self._index is None else self._index}"

    @model_validator(mode="before")
    @classmethod
    def _fill_from_opus(cls, keys: Any) -> Any:
        if not isinstance(keys, dict) or not isinstance(keys.get("opus"), str):
            return keys
        if keys.get("path") or keys.get("format", "moses") not in ("moses", "tmx"):
            raise ValueError("`opus` replaces `path` and allows only the formats moses and tmx")
        return {"name": keys["opus"].partition("/")[0], "format": "moses", "path": "", **keys}

    @model_validator(mode="after")
    def _check(self) -> CorpusConfig:
        if (self.format == "lines") != (self.target_path is not None):
            raise ValueError("format `lines` needs `target_path`, and no other format has it")
        if self.columns is not None:
            if self.format not in ("tsv", "wikimatrix"):
                raise ValueError(f"`columns` is for tsv and wikimatrix, and the format is {self.format}")
            self.columns = [x if x in COLUMN_ROLES else normalize_language(x) for x in self.columns]
        if self.format == "wikimatrix" and self.min_score is None:
            self.min_score = 1.05
        return self


class OpusConfig(StrictModel):
    """Source of the corpora that have an `opus` key."""

    folder: str = Field(
        "{data}/opus", description="Folder of the archives. `xner corpus fetch --config` writes it, runs read it."
    )
    catalog: Literal["package", "api", "auto"] = Field(
        "package",
        description="Index of OPUS. package: the index of the installed `opustools`, equal on all machines. api: the"
        " online index. auto: the online index if it answers, else the package's.",
    )
    api: str | None = Field(None, description="URL of the online index. Default: the OPUS URL.")
    base_url: str | None = Field(
        None, description="URL of a mirror: the part before `NAME/VERSION/moses/FILE`. Default: OPUS."
    )
    limit_gb: float = Field(1.0, ge=0, description="GB above which `xner corpus fetch` needs --yes.")


class CleanConfig(StrictModel):
    """Filters that drop readable but bad pairs. Their scores are stored beside the shards."""

    drop_identical: bool = Field(
        True, description="identical_sides: drop pairs whose two sides are equal, ignoring case."
    )
    max_length_ratio: float | None = Field(
        3.0,
        gt=1,
        description="length_ratio: maximum ratio of the longer side to the shorter, in UTF-8 bytes, 10 added to each."
        " null: no limit.",
    )
    min_language_score: Fraction | None = Field(
        None,
        description="language: minimum probability that each side is in its language. Identification takes 50 times"
        " as long as the other filters. null: no limit.",
    )


class IngestConfig(StrictModel):
    """Reading, cleaning and sampling of the corpora into shards."""

    max_pairs_per_language: PositiveInt | None = Field(
        8000,
        description="Maximum number of pairs per target language. Corpora share it by their `weight`. null: every pair.",
    )
    shard_rows: PositiveInt = Field(2000, description="Pairs per shard. A shard is the unit of work and of commit.")
    max_chars: PositiveInt = Field(
        1000, description="Maximum characters per side. Longer pairs are quarantined as too_long."
    )
    max_quarantined: Fraction = Field(
        0.2, description="Maximum fraction of a corpus's sampled pairs that are unreadable. More is an error."
    )
    clean: CleanConfig | None = Field(
        None, description="Filters that drop bad pairs. Default: only unreadable pairs are dropped."
    )
    allow_private_hosts: bool = Field(
        False,
        description="Fetch and read corpora over HTTP from private and loopback addresses too, e.g. from a mirror. Else"
        " such an address is an error, also after a redirect.",
    )
    incremental: bool = Field(
        False,
        description="Write the pairs to collections, OUT/corpus/LANGUAGE, to which a changed corpus only adds its new"
        " pairs. Needs `max_pairs_per_language: null`. `xner refresh` always sets it.",
    )

    @model_validator(mode="after")
    def _check(self) -> IngestConfig:
        if self.incremental and self.max_pairs_per_language is not None:
            raise ValueError("`incremental` reads every pair: set `max_pairs_per_language: null` too")
        return self

    def fingerprint(self) -> dict[str, Any]:
        """Keys that change the pairs; the others change only where they come from and where they are stored."""
        return self.model_dump(mode="json", exclude={"incremental", "allow_private_hosts"})
