"""The tagger: raw strings in, entities with character offsets out. Teachers, students and `xner tag` use it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xner_ray.encoders.engine_base import InferenceEngine
from xner_ray.encoders.engine_stats import EngineStats
from xner_ray.encoders.folder_check import explain_load_errors
from xner_ray.encoders.model_languages import stored_languages
from xner_ray.encoders.ragged import ranges
from xner_ray.encoders.temperature import stored_temperature
from xner_ray.encoders.testing.null import NullEngine
from xner_ray.encoders.token_budget import TokenBudget
from xner_ray.encoders.tokenizer import Tokenizer, Tokens
from xner_ray.encoders.windowing import sliding_windows
from xner_ray.errors import UserError
from xner_ray.ner.base_tagger import BaseTagger
from xner_ray.ner.decoding import decode_entities, decode_word_labels
from xner_ray.ner.entity_spans import EntitySpans
from xner_ray.ner.label_normalizer import (
    NORMALIZED_LABELS,
    SPACY_PREFIX,
    TYPE_MAP,
    is_bio2,
    model_labels,
    output_labels,
    read_config,
)
from xner_ray.ner.token_labels import first_subwords
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.tags import label_list

_PROJECTOR, _ALIGNER_LABELS = "projector.json", {"OUTSIDE", "INSIDE"}  # of `alignment`, which imports this package


class Tagger(BaseTagger):
    """A token classifier.

    Args:
        engine: gives probabilities for token ids.
        tokenizer: of the model.
        labels: O, B-X, I-X, ... in the order of their ids.
        label_projection: float32 [labels of the engine, labels], for a model whose labels differ from `labels`. It
            maps the engine's probabilities to those of `labels`. None: they are the same.
        temperature: of the scores of entities, see `encoders.temperature`.
        is_bio2: the model was trained on BIO2 tags, see `decoding.decode_word_labels`.
    """

    def __init__(
        self,
        engine: InferenceEngine,
        tokenizer: Tokenizer,
        labels: list[str],
        label_projection: np.ndarray | None = None,
        temperature: float = 1.0,
        is_bio2: bool = True,
    ):
        self.engine, self.tokenizer, self.labels, self.label_projection = engine, tokenizer, labels, label_projection
        self.temperature, self.is_bio2 = temperature, is_bio2

    @classmethod
    def load(
        cls,
        folder: str | Path,
        max_batch_tokens: TokenBudget = "auto",
        precision: str = "auto",
        device: str | None = None,
    ) -> Tagger:
        """The tagger of a Hugging Face folder with a token classification head.

        Args:
            folder: of the model.
            max_batch_tokens: padded tokens of a forward pass; auto: by the memory of the device (`token_budget`).
            precision: auto | fp32 | bf16 | fp16.
            device: where to run; None: the GPU if there is one, else the CPU.

        Raises:
            UserError: the folder holds no token classifier, or its labels cannot be understood.
        """
        from xner_ray.encoders.load import load_model
        from xner_ray.encoders.torch_engine import TorchEngine

        engine = TorchEngine(load_model(folder), max_batch_tokens, precision, device)
        return cls._of_folder(folder, engine, Tokenizer(str(folder)))

    @classmethod
    def load_onnx(cls, folder: str | Path, max_batch_tokens: TokenBudget = "auto") -> Tagger:
        """The tagger of a folder that `xner export-model` wrote. Imports neither torch nor transformers."""
        from xner_ray.encoders.onnx_engine import OnnxEngine

        with explain_load_errors(folder):
            engine = OnnxEngine(folder, max_batch_tokens)
        tokenizer = Tokenizer(str(folder), without_transformers=True)
        return cls._of_folder(folder, engine, tokenizer)

    @classmethod
    def _of_folder(cls, folder: str | Path, engine: InferenceEngine, tokenizer: Tokenizer) -> Tagger:
        labels, projection = _labels_and_projection(folder)
        tagger = cls(engine, tokenizer, labels, projection, stored_temperature(folder), is_bio2(folder))
        tagger.languages = stored_languages(folder)
        return tagger

    @classmethod
    def load_null(cls, folder: str | Path) -> Tagger:
        """A tagger with the tokenizer of a folder and `NullEngine` in place of a model."""
        tokenizer = Tokenizer(str(folder), without_transformers=True)
        return cls(NullEngine(tokenizer.word_start_mask()), tokenizer, NullEngine.LABELS)

    @property
    def types(self) -> list[str]:
        """See `BaseTagger.types`."""
        return sorted({label[2:] for label in self.labels} - {""})

    @property
    def stats(self) -> EngineStats:
        """Counters and timings of the engine; `windowed_rows` counts the texts longer than the model."""
        return self.engine.stats

    def probabilities(self, tokens: Tokens) -> np.ndarray:
        """Label probabilities of all tokens, without the temperature: float32 [tokens, labels].

        Texts longer than the model are read in windows.
        """
        if not len(tokens.ids):
            return np.zeros((0, len(self.labels)), np.float32)
        with self.stats.timed("tokenize"):
            num_special = len(self.tokenizer.prefix) + len(self.tokenizer.suffix)
            windows = sliding_windows(tokens.ids, self.engine.max_length - num_special)
            ids = self.tokenizer.with_special_tokens(windows.ids)
        self.stats.windowed_rows += windows.windowed_rows
        scores = self.engine.probabilities(ids)
        content = ranges(ids.offsets[:-1] + len(self.tokenizer.prefix), windows.ids.lengths)
        scores = scores[content][windows.positions]
        return scores if self.label_projection is None else scores @ self.label_projection

    def predict_spans(self, texts: Sequence[str], words: WordSpans, tokens: Tokens | None = None) -> EntitySpans:
        """Predict the entities of texts, see `BaseTagger.predict_spans`. A word takes the label of its first subword."""
        tokens = self._tokenize(texts) if tokens is None else tokens
        subwords = first_subwords(tokens, words)
        label_ids, scores = decode_word_labels(
            self.probabilities(tokens), subwords, words.rows, self.labels, self.is_bio2, self.temperature
        )
        return decode_entities(label_ids, scores, words, self.labels)

    def _tokenize(self, texts: Sequence[str]) -> Tokens:
        with self.stats.timed("tokenize"):
            return self.tokenizer(texts)


def _labels_and_projection(folder: str | Path) -> tuple[list[str], np.ndarray | None]:
    """The labels of a tagger and its label projection, which is None where the model's labels are those of a tagger.

    The probabilities of labels with the same normalized label add up.
    """
    config, normalized = read_config(folder), output_labels(folder)
    labels = label_list(x[2:] for x in normalized if x != "O")
    if NORMALIZED_LABELS not in config and model_labels(config) == labels:
        return labels, None
    projection = np.zeros((len(normalized), len(labels)), np.float32)
    projection[np.arange(len(normalized)), [labels.index(x) for x in normalized]] = 1
    return labels, projection


def check_is_tagger(folder: str | Path) -> None:
    """Check that the labels of a folder name entity types. Those of an aligner or an encoder do not.

    Raises:
        UserError: they do not, or config.json cannot be read.
    """
    config = read_config(folder)
    if TYPE_MAP in config:
        return
    labels = config.get(NORMALIZED_LABELS) or model_labels(config)
    is_aligner = (Path(folder) / _PROJECTOR).exists() or set(labels) == _ALIGNER_LABELS
    if is_aligner or not labels:
        problem = "holds an aligner, not a tagger" if is_aligner else "holds no tagger: config.json names no labels"
        raise UserError(problem, file=folder, remedy="give the folder of a trained teacher or student")
    output_labels(folder)


def is_spacy_teacher(folder: str | Path) -> bool:
    """Whether a folder is an adopted spaCy pipeline, which has a tokenizer of its own."""
    return TYPE_MAP in read_config(folder)


def is_onnx_export(folder: str | Path) -> bool:
    """Whether a folder is an export to ONNX, without the weights of Transformers."""
    return (Path(folder) / "model.onnx").exists() and not list(Path(folder).glob("*.safetensors"))


def open_named_tagger(model: str, max_batch_tokens: TokenBudget = "auto", precision: str = "auto") -> BaseTagger:
    """The tagger that a user names: a folder, or `spacy:` and the folder of an adopted spaCy pipeline.

    Args:
        model, max_batch_tokens, precision: see `open_tagger`.

    Raises:
        UserError: the folder holds a spaCy pipeline, which may run code, and the name does not begin with `spacy:`.
    """
    folder = model.removeprefix(SPACY_PREFIX)
    if folder == model and is_spacy_teacher(folder):
        remedy = f"if you trust it, name it as {SPACY_PREFIX}{folder}"
        raise UserError("holds a spaCy pipeline, which may run code", file=folder, remedy=remedy)
    return open_tagger(folder, max_batch_tokens, precision)


def open_tagger(
    folder: str | Path, max_batch_tokens: TokenBudget = "auto", precision: str = "auto", device: str | None = None
) -> BaseTagger:
    """The tagger of a folder: trained here, exported to ONNX, or adopted (see `external_teacher`).

    Args:
        folder: of a model that this run wrote; see `open_named_tagger` for others.
        max_batch_tokens: padded tokens of a forward pass; auto: by the memory of the device (`token_budget`).
        precision: auto | fp32 | bf16 | fp16. An ONNX export always runs in fp32.
        device: where torch runs; None: the GPU if there is one, else the CPU. spaCy and ONNX run on the CPU.

    Raises:
        UserError: the folder holds no tagger, or its files are missing or broken.
    """
    check_is_tagger(folder)
    if is_spacy_teacher(folder):
        from xner_ray.ner.spacy_tagger import SpacyTagger

        spacy_tagger = SpacyTagger(folder)
        spacy_tagger.languages = stored_languages(folder)
        return spacy_tagger
    if is_onnx_export(folder):
        return Tagger.load_onnx(folder, max_batch_tokens)
    return Tagger.load(folder, max_batch_tokens, precision, device)
