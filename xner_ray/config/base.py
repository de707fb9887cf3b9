"""Base class, number types and the type of language codes that all sections of the config share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from xner_ray.language_codes import normalize_language

Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


def _norwegian(code: Any) -> Any:
    """`no` is false in YAML."""
    return "no" if code is False else code


# Any usual spelling is accepted and stored normalized.
LanguageCode = Annotated[str, BeforeValidator(_norwegian), AfterValidator(normalize_language)]


class StrictModel(BaseModel):
    """A config section: unknown keys are errors, and defaults are validated like given values."""

    model_config = ConfigDict(extra="forbid", validate_default=True, protected_namespaces=())
