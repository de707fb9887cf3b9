"""The projector: a trained aligner with all that the best projection needs, in one folder.

`projector.json` beside the aligner's weights says how its probabilities become spans, so `xner project --model DIR`
and the labeling pool do exactly what was measured.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from xner_ray import schema
from xner_ray.alignment.assignment import Found, chosen, join, nothing, silent, with_shared
from xner_ray.alignment.decoding import Decoding, spans
from xner_ray.alignment.ensemble import FOLDER, first_votes, mended, save_similarity, similar
from xner_ray.alignment.exact_match import alike
from xner_ray.alignment.queries import Queries, queries_of, questions, rows_asked
from xner_ray.alignment.span_cleanup import tidy_found
from xner_ray.encoders.engine_base import InferenceEngine
from xner_ray.encoders.engine_stats import EngineStats
from xner_ray.encoders.ragged import offsets_of
from xner_ray.encoders.testing.null import NullEngine
from xner_ray.encoders.tokenizer import Tokenizer, Tokens
from xner_ray.errors import UserError
from xner_ray.ner.pretokenize import TARGET, tokens_and_words
from xner_ray.ner.word_spans import WordSpans
from xner_ray.storage.atomic import write_json
from xner_ray.text.languages import get_language

if TYPE_CHECKING:
    from xner_ray.alignment.similarity import Similarity  # imports torch

FILE, VERSION, KIND = "projector.json", 7, "aligner"
LABELS = ["OUTSIDE", "INSIDE"]


def save_projector(
    folder: str | Path, decoding: Decoding, layer: int | None = None, encoder: str = "", **facts: object
) -> None:
    """Write `projector.json` into the folder of a trained aligner, and the similarity's encoder where it is asked for.

    Args:
        decoding: how probabilities become spans.
        layer: of the similarity.
        encoder: of the similarity (`embedded | hub id | folder`); needed where `decoding.similarity_fallback_score` is above 0.
        facts: whatever else a reader may want to know, such as languages or scores.
    """
    if decoding.similarity_fallback_score:
        if layer is None or not encoder:
            raise ValueError("a projector with a similarity needs its encoder and layer")
        save_similarity(encoder, layer, folder)
    content = {"version": VERSION, "kind": KIND, **asdict(decoding), "similarity_layer": layer, "facts": facts}
    write_json(Path(folder) / FILE, content)


def read_projector(folder: str | Path) -> tuple[Decoding, int]:
    """Read `projector.json`: how to decode, and the similarity's layer.

    Raises:
        UserError: there is none, or not one that this version understands.
    """
    file = Path(folder) / FILE
    remedy = "give the folder of a trained aligner, e.g. OUT/aligner/.../model"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if (content["version"], content["kind"]) != (VERSION, KIND):
            raise UserError(f"is of version {content['version']}, kind {content['kind']}", file=file, remedy=remedy)
        decoding = Decoding(**{key: content[key] for key in asdict(Decoding())})
        return decoding, int(content["similarity_layer"] or 0)
    except FileNotFoundError:
        raise UserError("no such file, so this is no projector", file=file, remedy=remedy) from None
    except (ValueError, KeyError, TypeError) as e:
        raise UserError(f"cannot be understood: {type(e).__name__} {e}", file=file, remedy=remedy) from e


class Projector:
    """Projects entities of the source onto the target.

    Args:
        engine: holds the trained aligner.
        tokenizer: the aligner's.
        similarity: the second opinion (`fusion.py`).
    """

    def __init__(
        self,
        engine: InferenceEngine,
        tokenizer: Tokenizer,
        decoding: Decoding | None = None,
        similarity: Similarity | None = None,
    ):
        self.engine, self.tokenizer, self.decoding = engine, tokenizer, decoding or Decoding()
        self.similarity = similarity

    @classmethod
    def load(
        cls, folder: str | Path, precision: str = "auto", batch_tokens: int = 4096, device: str | None = None
    ) -> Projector:
        from xner_ray.encoders.load import load_model
        from xner_ray.encoders.torch_engine import TorchEngine

        decoding, layer = read_projector(folder)
        similarity = None
        if decoding.similarity_fallback_score:
            from xner_ray.alignment.similarity import Similarity

            similarity = Similarity.load(str(Path(folder) / FOLDER), layer, precision, batch_tokens, device)
        engine = TorchEngine(load_model(folder), batch_tokens, precision, device)
        return cls(engine, Tokenizer(str(folder)), decoding, similarity)

    @classmethod
    def null(cls, folder: str | Path) -> Projector:
        """The projector that makes its answers up (`encoders/testing/null.py`), with the tokenizer of a folder."""
        tokenizer = Tokenizer(str(folder), without_transformers=True)
        return cls(NullEngine(tokenizer.word_start_mask()), tokenizer, Decoding(word_pooling="first"))

    @property
    def stats(self) -> EngineStats:
        """What the engine did. `extra`: cut_names, and alike_names, which nobody was asked about; `windowed_rows`: queries with
        a target longer than the model.
        """
        return self.engine.stats

    def project(self, table: pa.Table, language: str) -> pa.ListArray:
        """Candidates of a labeled shard.

        Args:
            table: columns `source`, `target`, `entities` (schema.LABELED); with
                schema.PRETOKENIZED targets are not tokenized again.
            language: of the targets, ISO 639-1; decides what a word is.

        Returns:
            schema.PROJECTIONS, one list a row, ordered by entity and start; `entity` is the first of its equal
            entities.
        """
        queries, found = self.find(table, language)
        row = queries.row[found["query"]]
        offsets = offsets_of(np.bincount(row, minlength=table.num_rows)) if table.num_rows else np.zeros(1, np.int64)
        columns = {"entity": queries.entity[found["query"]], **found}
        values = pa.StructArray.from_arrays(
            [pa.array(columns[field.name], field.type, from_pandas=field.nullable) for field in schema.PROJECTION],
            fields=list(schema.PROJECTION),
        )
        return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values, type=schema.PROJECTIONS.type)

    def find(self, table: pa.Table, language: str) -> tuple[Queries, dict[str, np.ndarray]]:
        """Queries of a table and their candidates as flat arrays (see `decode.spans`)."""
        queries = queries_of(table)
        rows, sources, targets, text = rows_asked(table, queries)
        tokens, words = None, None
        if schema.PRETOKENIZED.name in table.column_names:
            every, all_words = tokens_and_words(table, TARGET)
            tokens, words = every.take(rows), all_words.take(rows)
        words = WordSpans.from_texts(targets, language) if words is None else words
        known = self._alike(queries, targets, text, words, language)
        unknown = silent(known, queries)
        found = self._ask(np.flatnonzero(unknown), queries, targets, text, tokens, words)
        candidates = tidy_found(found, targets, text, language, self.decoding.one_to_one)

        if not self.decoding.one_to_one:
            return queries, join(candidates, known)
        extra = self._second(np.flatnonzero(unknown), queries, sources, targets, text, words, language)
        candidates = mended(candidates, extra, targets, text)
        taken = chosen(candidates, queries, targets, text, before=known)
        return queries, with_shared(chosen(extra, queries, targets, text, before=taken), candidates, queries)

    def _alike(self, queries: Queries, targets: list[str], text: np.ndarray, words: WordSpans, language: str) -> Found:
        """Candidates of the names that nobody need look for; none where every character is a word."""
        if not self.decoding.exact_match_score or not get_language(language).uses_spaces or not len(queries):
            return nothing()
        known = alike(queries, targets, text, words, language, self.decoding.exact_match_score)
        self.stats.extra["alike_names"] = self.stats.extra.get("alike_names", 0) + len(np.unique(known["query"]))
        return known

    def _ask(
        self,
        asked: np.ndarray,
        queries: Queries,
        targets: list[str],
        text: np.ndarray,
        tokens: Tokens | None,
        words: WordSpans,
    ) -> Found:
        """The aligner's candidates of some queries."""
        some, place = np.unique(text[asked], return_inverse=True)
        some_targets, tokens = [targets[i] for i in some], tokens.take(some) if tokens else None
        with self.stats.timed("tokenize"):
            rows = questions(
                self.tokenizer, queries.names, queries.name[asked], some_targets, place, self.engine.max_length, tokens
            )
        self.stats.windowed_rows += rows.windowed
        self.stats.extra["cut_names"] = self.stats.extra.get("cut_names", 0) + rows.cut_names
        scores = self.engine.probabilities(rows.ids, rows.types)
        answers = scores[rows.answers, -1] if len(rows.answers) else np.zeros(0, np.float32)
        found = spans(answers, rows.tokens, place, words.take(some), self.decoding)
        return first_votes(found | {"query": asked[found["query"]]})

    def _second(self, asked, queries: Queries, sources, targets, text, words, language: str) -> Found:
        """What the similarity would take, tidy; nothing where there is none, or none for the language."""
        if self.similarity is None or not get_language(language).uses_spaces or not len(asked):
            return nothing()
        extra = similar(asked, self.similarity, queries, sources, targets, text, words, self.decoding)
        return tidy_found(extra, targets, text, language, self.decoding.one_to_one)

    def project_entities(
        self, sources: Sequence[str], entities: Sequence[Sequence[tuple]], targets: Sequence[str], language: str
    ) -> list[list[tuple[int, int, int, float]]]:
        """Candidates of aligned raw strings.

        Args:
            sources, targets: raw strings, aligned.
            entities: of each source (start, end, type, ...), characters.

        Returns:
            For each pair (entity, start, end, score): `entity` is the index of the first entity with its name and
            type.
        """
        rows = [[{"start": e[0], "end": e[1], "type": e[2], "score": 1.0} for e in row] for row in entities]
        table = pa.table(
            {
                "source": pa.array(sources, pa.string()),
                "target": pa.array(targets, pa.string()),
                "entities": pa.array(rows, schema.ENTITIES.type),
            }
        )
        found = self.project(table, language).to_pylist()
        return [[(p["entity"], p["start"], p["end"], round(p["score"], 4)) for p in row] for row in found]
