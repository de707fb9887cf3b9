"""Base class and number types that all sections of the config share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


class StrictModel(BaseModel):
    """A config section: unknown keys are errors, and defaults are validated like given values."""

    model_config = ConfigDict(extra="forbid", validate_default=True, protected_namespaces=())
