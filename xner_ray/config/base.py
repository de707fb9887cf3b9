"""Base class, number types and the type of language codes that all sections of the config share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from xner_ray.language_codes import normalize_language

Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what all libraries take
Precision = Literal["auto", "fp32", "bf16", "fp16"]


def _norwegian(code: Any) -> Any:
    """`no` is false in YAML."""
    return "no" if code is False else code


def check_distinct(values: list[Any]) -> list[Any]:
    """The same seed, encoder or size twice would be one result that counts twice, made by two trainings at once."""
    if twice := next((str(x) for n, x in enumerate(values) if x in values[:n]), None):
        raise ValueError(f"`{twice}` is given twice")
    return values


Distinct = AfterValidator(check_distinct)  # for lists

# Any usual spelling is accepted and stored normalized.
LanguageCode = Annotated[str, BeforeValidator(_norwegian), AfterValidator(normalize_language)]


class StrictModel(BaseModel):
    """A config section: unknown keys are errors, and defaults are validated like given values. Numbers are finite."""

    model_config = ConfigDict(extra="forbid", validate_default=True, protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _check_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """`yes` and `true` are booleans in YAML, and pydantic would read them as the number 1."""
        kinds = _kinds(cls.model_fields[info.field_name].annotation) if info.field_name else set()
        values = value if isinstance(value, list) else [value]
        if kinds & {int, float} and not kinds & {bool, str} and any(isinstance(x, bool) for x in values):
            raise ValueError("a boolean is no number")
        return value


def _kinds(annotation: Any) -> set[Any]:
    args = getattr(annotation, "__args__", ())
    return {annotation} if not args else {kind for arg in args for kind in _kinds(arg)}
