"""Settings of one kind of data that have no effect for another, and are refused there."""

from __future__ import annotations

from instar.config import DataConfig
from instar.errors import ConfigError
from instar.tasks.task import Task


def refuse_array_settings(config: DataConfig, kind: str) -> None:
    """Refuse settings of arrays for data of another kind, which would have no effect."""
    for name in ("inputs", "layout"):
        if getattr(config, name) is not None:
            raise ConfigError(f"'{name}' is a setting of arrays, but '{config.source}' contains {kind}.")


def refuse_instruction_settings(config: DataConfig, kind: str) -> None:
    """Refuse settings of instructions for data of another kind, which would have no effect."""
    for name in ("packing", "truncation"):
        if getattr(config, name) != DataConfig.model_fields[name].default:
            raise ConfigError(
                f"'{name}' is a setting of instructions (columns prompt and completion, or messages), but "
                f"'{config.source}' contains {kind}."
            )


def refuse_recording_settings(config: DataConfig, kind: str) -> None:
    """Refuse settings of recordings for data of another kind, which would have no effect."""
    if config.sample_rate is not None and kind != "recordings":
        raise ConfigError(f"'sample_rate' is a setting of recordings, but '{config.source}' contains {kind}.")


def refuse_class_settings(config: DataConfig, task: Task) -> None:
    """Refuse settings of classes where labels are numbers.

    Raises:
        ConfigError: names the setting.
    """
    if not task.predicts_numbers:
        return
    for name in ("classes", "stratified", "balanced", "omit_classes", "keep_classes", "special_classes"):
        if getattr(config, name):
            raise ConfigError(f"'data.{name}' is a setting of classes, and the labels are numbers; leave it out.")
