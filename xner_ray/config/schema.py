"""One config for everything: the YAML that `xner` and the scripts in `jobs/` read.

Every key is a field below with its default and its meaning, unknown keys and contradictions are errors that name the file,
the line, the key and the remedy. `{data}` in a path stands for the key `data`, `{language}` for the target language.
No torch, no Ray here: `xner --help` must stay fast.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from xner_ray.config.data import Corpus, Gold, Ingest, Model, OpusConfig, Positive, Sample, Share
from xner_ray.config.dataset import DatasetConfig, Rules
from xner_ray.config.refresh import Refresh
from xner_ray.config.study import Study


class Training(Model):
    """How a model is trained; the same keys for teacher, aligner and student."""

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True)  # frozen: hashable, a key of models

    epochs: Positive = Field(3, description="Passes over the training data.")
    learning_rate: float = Field(2e-4, gt=0, description="Peak; linear warm-up, then linear decay to 0.")
    warmup_ratio: Share = Field(0.1, description="Share of the steps.")
    weight_decay: float = Field(0.01, ge=0, description="Of AdamW.")
    tokens_per_step: Positive = Field(1024, description="Real tokens in an optimizer step, over all workers.")
    max_micro_batch_tokens: Positive = Field(1024, description="Padded tokens in one forward pass of one worker.")
    loss: Literal["cross_entropy", "focal", "reweighted"] = Field(
        "cross_entropy", description="focal weighs sure tokens down, reweighted weighs them up."
    )
    gamma: float = Field(2.0, ge=0, description="Exponent of focal (1-p)^gamma and reweighted (1+p)^gamma.")
    freeze_embeddings: bool = Field(True, description="Do not train the embedding tables.")
    num_frozen_layers: int = Field(0, ge=0, description="The lowest n transformer layers are not trained.")
    layerwise_lr_decay: float = Field(
        1.0, gt=0, le=1, description="Learning rate factor from each layer to the one below."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto: as `label.precision`; weights stay fp32, passes run in it."
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Largest gradient norm.")


class Teacher(Model):
    """The English tagger that labels the source side."""

    encoder: str = Field("embedded", description="embedded | hub id | folder.")
    drop_types: dict[str, list[str]] = Field(
        {},
        description="Types relabeled O before training, by target language: {zh: [MISC]}. Each distinct set is a teacher.",
    )
    training: Training = Training(loss="focal", gamma=2.0)
    model: str | None = Field(
        None,
        description="A tagger that is trained already, used as it is: folder, hub id, or `spacy:` and a package or folder.",
    )
    label_map: dict[str, str] = Field(
        {},
        description="Types of `model` renamed, e.g. {PERSON: PER, GPE: LOC, DATE: O}; whole labels too: {LABEL_1: B-PER}.",
    )

    @model_validator(mode="after")
    def _check(self) -> Teacher:
        if self.label_map and self.model is None:
            raise ValueError("`label_map` renames the labels of `model`, which is not given")
        return self


class Aligner(Model):
    """The model that finds an English name in a target sentence."""

    encoder: str = Field("embedded", description="embedded | hub id | folder.")
    num_examples: Positive = Field(4000, description="Training examples a language.")
    negative_ratio: Share = Field(0.25, description="Share of examples whose name is not in the sentence.")
    noun_phrase_ratio: Share = Field(0.3, description="Share of the positives that are noun phrases, not entities.")
    example_sources: dict[Literal["bootstrap", "pairs", "lexicon", "translator"], float] = Field(
        {"bootstrap": 0.85, "lexicon": 0.15}, description="Where examples come from, with their shares."
    )
    examples_file: str | None = Field(
        None, description="TSV `name, sentence, start, end` for source `pairs`; `{language}` is filled in."
    )
    lexicon: str | None = Field(None, description="TSV `name, target name`; default: CLDR countries and languages.")
    translator: str | None = Field(None, description="A seq2seq folder of transformers, target language to English.")
    similarity_layer: int = Field(7, ge=0, description="Hidden layer whose similarities bootstrap the examples.")
    similarity_fallback_score: Share = Field(
        0.5,
        description="Score of spans that only the untrained similarity finds, in languages with spaces;"
        " 0, as in the paper: none.",
    )
    exact_match_score: Share = Field(
        0.99,
        description="Score of names that stand in the target as they are spelled in English, as often, in languages with"
        " spaces: nobody is asked about them; 0, as in the paper: they are asked like all others.",
    )
    threshold: Share = Field(0.5, description="A word belongs to the entity from this probability on.")
    max_gap_words: int = Field(1, ge=0, description="Words below the threshold that a span may step over.")
    one_to_one: bool = Field(
        True,
        description="Names of a pair do not share a place, and none has more forms than mentions; false, as in the paper:"
        " each name for itself.",
    )
    training: Training = Training(epochs=1, loss="cross_entropy")

    @model_validator(mode="after")
    def _check(self) -> Aligner:
        for origin, key in (("pairs", self.examples_file), ("translator", self.translator)):
            if self.example_sources.get(origin, 0) > 0 and key is None:  # type: ignore[call-overload]
                raise ValueError(f"origin `{origin}` needs the key `{origin}`")
        if sum(self.example_sources.values()) <= 0:
            raise ValueError("the shares of `example_sources` add up to nothing")
        if self.similarity_fallback_score and not self.one_to_one:
            raise ValueError("`similarity_fallback_score` needs `one_to_one`; set it to 0 to use the aligner alone")
        return self


class Label(Model):
    """Inference of teacher and aligner over all pairs."""

    batch_tokens: Positive = Field(4096, description="Padded tokens in one forward pass; part of the fingerprint.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="auto: bf16 on GPUs from Ampere on and on CPUs that multiply in it, else fp16 (GPU) or fp32.",
    )
    max_actors: Positive | None = Field(
        None,
        description="Most actors that align. With GPUs, those that label are fewer, as they cost less; on CPUs each does both."
        " Default: what GPUs or cores hold.",
    )
    num_gpus_per_actor: float = Field(0.5, gt=0, le=1, description="GPU that one actor takes, where there are GPUs.")
    output_uri: str | None = Field(
        None, description="Where labeled shards go: a folder, or a URL such as s3://bucket/prefix; default: `out`."
    )
    max_quarantined: Share = Field(0.01, description="Stop when a larger share of a shard's rows cannot be run.")
    null_model: bool = Field(
        False, description="Make entities and projections up, without teacher and aligner: for tests of the machinery."
    )


class Student(Model):
    """The target-language taggers: English first, then projected data."""

    encoder: str | list[str] = Field("embedded", description="embedded | hub id | folder; a list trains each.")
    seeds: list[int] = Field([1], min_length=1, description="One student each; scores are their mean.")
    schedule: Literal["sequential", "mixed", "target_only", "source_only"] = Field(
        "sequential",
        description="sequential: English first, then projected sentences; mixed: both at once, each as often as sequential"
        " sees it; target_only: no English; source_only: zero-transfer.",
    )
    source_training: Training | None = Field(
        None, description="English fine-tuning that comes first; default: as the teacher's."
    )
    source_model_per_seed: bool = Field(
        False,
        description="Each seed begins with an English fine-tuning of its own; default: one for all, of key `seed`.",
    )
    training: Training = Training(epochs=1, loss="reweighted", gamma=4.0, num_frozen_layers=3)
    mask_unlabeled_capitalized: bool = Field(
        True,
        description="Unlabeled words with a capital letter inside a sentence are not labeled O, in languages where it"
        " marks names: they carry no loss. The paper has no such rule.",
    )


class RayConfig(Model):
    """Where the work runs."""

    address: str | None = Field(None, description="Cluster to join; default: the one around us, else a local one.")
    num_cpus: Positive | None = Field(None, description="CPUs of the local Ray; default: what the machine has.")
    max_gpus: int = Field(
        0, ge=0, description="GPUs up to which the cluster's autoscaler may grow; 0: those that are up are all."
    )
    train_workers: Positive = Field(
        1,
        description="Ray Train workers that train a model together. 1 without GPUs: each model is a Ray task, several at a time.",
    )
    min_train_workers: Positive | None = Field(
        None, description="As few may train while nodes are missing; default: always `train_workers`."
    )

    @model_validator(mode="after")
    def _elastic(self) -> RayConfig:
        if (self.min_train_workers or 0) > self.train_workers:
            raise ValueError(f"`min_train_workers` is more than `train_workers` ({self.train_workers})")
        return self


class Config(Model):
    """All keys of a run."""

    name: str = Field(description="The run's name; an output folder belongs to one name.")
    out: str = Field(description="Where everything is written.")
    data: str | None = Field(None, description="Folder that `{data}` stands for.")
    seed: int = Field(1, description="Decides sampling, shuffling and the aligner's examples.")
    languages: list[str] = Field(min_length=1, description="Target languages, ISO 639-1.")
    source_language: str = Field("en", description="Language of the gold and of the source side.")
    sample: Sample | None = Field(None, description="Generate the data first.")
    gold: list[Gold] = Field(min_length=1, description="English training data.")
    dev: list[Gold] = Field([], description="English development data, reported for the teacher.")
    corpora: list[Corpus] = Field(min_length=1, description="Parallel corpora, sampled with equal quotas.")
    opus: OpusConfig = OpusConfig()
    ingest: Ingest = Ingest()
    teacher: Teacher = Teacher()
    aligner: Aligner = Aligner()
    label: Label = Label()
    rules: Rules = Rules()
    dataset: DatasetConfig = DatasetConfig()
    student: Student = Student()
    evaluation: list[Gold] = Field([], description="Target gold; it only measures.")
    study: Study = Study()
    refresh: Refresh = Refresh()
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def _check(self) -> Config:
        for item in self.corpora:
            for language in item.languages or []:
                if language not in self.languages:
                    item.languages = [x for x in item.languages or [] if x in self.languages]
        for language in self.languages:
            if not any(c.languages is None or language in c.languages for c in self.corpora):
                raise ValueError(f"no corpus has the language `{language}`; add one under `corpora` or drop it")
        names = [(c.name, x) for c in self.corpora for x in (self.languages if c.languages is None else c.languages)]
        if len(set(names)) < len(names):
            raise ValueError("two corpora of a language have the same `name`; pair ids are unique within a name")
        chosen = self.dataset.corpora or []
        known = {c.name for c in self.corpora}
        for name in chain.from_iterable(chosen.values()) if isinstance(chosen, dict) else chosen:
            if name not in known:
                raise ValueError(f"dataset.corpora: no corpus is named `{name}`, only {', '.join(sorted(known))}")
        return self

    @property
    def data_dir(self) -> str | None:
        """The folder that `{data}` stands for: the generated sample's where there is one."""
        return str(Path(self.out) / "sample") if self.sample else self.data

    def fill(self, path: str, language: str | None = None) -> str:
        """Fill `{data}`, `{language}` and `{pair}` into a path of this config."""
        values = {"data": self.data_dir or ""}
        if language:
            values |= {"language": language, "pair": "-".join(sorted((self.source_language, language)))}
        for key, value in values.items():
            path = path.replace("{" + key + "}", value)
        return path

    def corpora_of(self, language: str) -> list[Corpus]:
        return [c for c in self.corpora if c.languages is None or language in c.languages]
