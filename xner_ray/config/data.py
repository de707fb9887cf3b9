"""The part of the config that says what goes in: gold, corpora, where OPUS lies, cleaning and sampling."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Scheme = Literal["bio2", "iob1", "iobes", "bilou"]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True, protected_namespaces=())


class Gold(Model):
    """Gold data in CoNLL format: `token TAB tag`, BIO2, a blank line after each sentence."""

    path: str = Field(
        description="The file; `{data}` stands for the key `data`. `.parquet`: `tokens` and `ner_tags` of Hugging Face."
    )
    name: str | None = Field(None, description="Name in tables; default: the file's name.")
    language: str = Field("en", description="ISO 639-1; zh and ja join tokens without spaces.")
    tag_map: dict[str, str] = Field({}, description="Types renamed as they are read, e.g. {GPE.NAM: LOC, PER.NOM: O}.")
    types: list[str] | None = Field(None, description="Keep only these types, others become O; default: all.")
    scheme: Scheme = Field("bio2", description="How the file tags entities; others than BIO2 are converted to it.")

    def reading(self) -> dict[str, Any]:
        """How the file is read, for fingerprints; BIO2 leaves no trace in older ones."""
        return self.model_dump(exclude={"path", "name"} | ({"scheme"} if self.scheme == "bio2" else set()))


class Sample(Model):
    """Generate a sample (see `xner sample`) and use it as `data`."""

    pairs: Positive = Field(600, description="Sentence pairs a language, over all corpora.")
    seed: int = Field(1, description="Same seed, same bytes.")
    gold_sentences: Positive = Field(1200, description="English gold sentences for the teacher.")
    eval_sentences: Positive = Field(
        300, description="Gold sentences a target language, of frames and names not in training."
    )


class Corpus(Model):
    """One parallel corpus."""

    name: str = Field(
        description="Name in ledgers and provenance, unique in the config; with `opus` the corpus's by default."
    )
    opus: str | None = Field(
        None,
        pattern=r"^[^/\s]+(/[^/\s]+)?$",
        exclude=True,  # where pairs lie does not change them: it is in no fingerprint
        description="NAME[/VERSION] of a corpus in OPUS, instead of `path`; default: the latest version that has the language.",
    )
    domain: str = Field(
        "general",
        description="Domain for the study and for the equal share of empty sentences; well-known `opus` names have their own.",
    )
    format: Literal["moses", "tmx", "tsv", "wikimatrix", "lines", "parquet"] = Field(
        description="moses: OPUS zip; tmx: plain or gz; tsv: id, source, target[, score]; wikimatrix: score, source, target;"
        " lines: two line-aligned files (`path` and `target_path`); parquet: `translation` of Hugging Face or `source`, `target`."
    )
    path: str = Field(
        description="File or fsspec URL; `{data}`, `{language}` and `{pair}` (e.g. de-en, sorted) are filled in."
    )
    target_path: str | None = Field(None, description="The target side, for format `lines`.")
    languages: list[str] | None = Field(None, description="Target languages it has; default: all of the config.")
    min_score: float | None = Field(None, description="Pairs scored below are left out; wikimatrix: 1.05 by default.")
    weight: Positive = Field(1, description="Its quota beside the other corpora's; the paper: equal for all.")

    @model_validator(mode="before")
    @classmethod
    def _opus(cls, keys: Any) -> Any:
        if not isinstance(keys, dict) or not isinstance(keys.get("opus"), str):
            return keys
        if keys.get("path") or keys.get("format", "moses") not in ("moses", "tmx"):
            raise ValueError("`opus` stands in place of `path`, and goes with the formats moses and tmx")
        return {"name": keys["opus"].partition("/")[0], "format": "moses", "path": "", **keys}

    @model_validator(mode="after")
    def _check(self) -> Corpus:
        if (self.format == "lines") != (self.target_path is not None):
            raise ValueError("`target_path` goes with format `lines`, and `lines` needs it")
        if self.format == "wikimatrix" and self.min_score is None:
            self.min_score = 1.05
        return self


class OpusConfig(Model):
    """Where corpora with an `opus` key come from."""

    folder: str = Field("{data}/opus", description="Where `xner corpus fetch --config` puts archives, and runs look.")
    catalog: Literal["package", "api", "auto"] = Field(
        "package",
        description="The index of OPUS: that of the package `opustools` (the same on every machine), the live one, or that"
        " where it answers.",
    )
    api: str | None = Field(None, description="Another address of the live index; default: that of OPUS.")
    base_url: str | None = Field(
        None, description="A mirror: what stands before `NAME/VERSION/moses/FILE`; default: OPUS itself."
    )
    limit_gb: float = Field(1.0, ge=0, description="`xner corpus fetch` needs --yes for more, in GB.")


class Clean(Model):
    """Rules that drop readable but bad pairs; their scores are kept beside the shards."""

    drop_identical: bool = Field(True, description="identical_sides: drop pairs whose sides differ in case at most.")
    max_length_ratio: float | None = Field(
        3.0, gt=1, description="length_ratio: longer by shorter side, in UTF-8 bytes, both plus 10; null: no rule."
    )
    min_language_score: Share | None = Field(
        None, description="language: least probability that a side is in its language; takes 50 times as long."
    )


class Ingest(Model):
    """Reading, cleaning and sampling the corpora into shards."""

    max_pairs_per_language: Positive | None = Field(
        8000, description="Pairs a language, quotas over corpora by `weight`; null: every pair."
    )
    shard_rows: Positive = Field(2000, description="Pairs in a shard, the unit of work and of commit.")
    max_chars: Positive = Field(1000, description="A longer side is quarantined as too_long.")
    max_quarantined: Share = Field(
        0.2, description="Stop when a larger share of a corpus's sampled pairs cannot be read."
    )
    clean: Clean | None = Field(None, description="Rules against bad pairs; default: only unreadable ones go.")
    incremental: bool = Field(
        False,
        description="With `max_pairs_per_language: null`: pairs go to collections that grow, OUT/corpus/LANGUAGE, and a"
        " corpus that changed costs only its new pairs. `xner refresh` always does so.",
    )

    @model_validator(mode="after")
    def _check(self) -> Ingest:
        if self.incremental and self.max_pairs_per_language is not None:
            raise ValueError(
                "a collection that grows takes every pair: set `max_pairs_per_language: null` beside `incremental`"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """What decides about the content, for fingerprints: rules that are not set leave no trace in older ones."""
        return self.model_dump(mode="json", exclude={"incremental"} if self.clean else {"incremental", "clean"})
