"""Section of the config for gold data: source gold to train on, and target gold to evaluate on."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PrivateAttr

from xner_ray.config.base import LanguageCode, StrictModel

TagScheme = Literal["bio2", "iob1", "iobes", "bilou", "bmes"]


class GoldConfig(StrictModel):
    """A gold file: CoNLL (`token TAB tag` on each line, a blank line after each sentence) or Parquet."""

    path: str = Field(
        description="Path of the file. `{data}` is replaced by the key `data`. A `.parquet` file has the Hugging Face"
        " columns `tokens` and `ner_tags`."
    )
    name: str | None = Field(None, description="Name in result tables. Default: the file name.")
    language: LanguageCode = Field(
        "en",
        description="Language code, see `languages`. Default: `source_language`. It decides how tokens are"
        " joined to text: with natural spaces, and without spaces in zh and ja.",
    )
    tag_map: dict[str, str] = Field(
        {}, description="Entity types to rename on reading, e.g. {GPE.NAM: LOC, PER.NOM: O}."
    )
    types: list[str] | None = Field(
        None, description="Entity types to keep. All others become O. Default: keep all types."
    )
    scheme: TagScheme = Field(
        "bio2", description="Tag scheme of the file. Other schemes are converted to BIO2. BMES is recognized."
    )

    _key: str = PrivateAttr("gold")

    @property
    def key(self) -> str:
        """The key of this entry as overrides spell it, e.g. `evaluation.0`."""
        return self._key

    def fingerprint(self) -> dict[str, Any]:
        """Reading options that change the sentences; the file itself is fingerprinted by its bytes."""
        return self.model_dump(exclude={"path", "name"})
