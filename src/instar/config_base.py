"""What all groups of settings have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Config(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_booleans_as_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        # YAML reads `yes` and `on` as true, and pydantic would turn true into 1
        kind = str(cls.model_fields[str(info.field_name)].annotation)
        if (
            isinstance(value, bool) or (isinstance(value, list | tuple) and any(isinstance(v, bool) for v in value))
        ) and ("bool" not in kind and "Any" not in kind):
            advice = "; put words such as yes and no in quotes" if "str" in kind and "Literal" not in kind else ""
            raise ValueError(f"a truth value is not allowed here, got {value}{advice}")
        return value
