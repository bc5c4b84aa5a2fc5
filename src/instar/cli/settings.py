"""From flags to a configuration: the defaults, `--config`, the flags and `--set`, each laid over the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from instar.cli.options import import_from_here

if TYPE_CHECKING:
    from instar.config import RunConfig


def read_flags(
    data: str | None,
    model: str | None,
    arg: list[str] | None,
    objective: str | None,
    views: str | None,
    epochs: int | None,
    seed: int | None,
) -> dict[str, Any]:
    """Return the flags that were given, as nested settings."""
    from instar.config import parse_assignment

    flags: dict[str, Any] = {
        name: value for name, value in (("objective", objective), ("views", views), ("seed", seed)) if value is not None
    }
    if data is not None:
        flags["data"] = {"source": data}
    if model is not None:
        flags["model"] = {"name": model}
    if arg:
        arguments = {".".join(path): value for path, value in map(parse_assignment, arg)}
        flags["model"] = flags.get("model", {}) | {"arguments": arguments}
    if epochs is not None:
        flags["training"] = {"epochs": epochs}
    return flags


def configure(file: str | None, flags: dict[str, Any], settings: list[str] | None) -> RunConfig:
    """Lay the file, the flags and the assignments over each other."""
    from instar.config import RunConfig, merge, parse_assignment, read_yaml, validate

    values = merge(read_yaml(file) if file else {}, flags)
    for path, value in map(parse_assignment, settings or []):
        for key in reversed(path):
            value = {key: value}  # noqa: PLW2901 (wrapped level by level)
        values = merge(values, value)
    return validate(RunConfig, values)


def training_settings(epochs: int | None, settings: list[str] | None) -> dict[str, Any]:
    """Return the settings of a training that were given, for a verb that takes all others from another run.

    Raises:
        ConfigError: when a setting is not of the training.
    """
    from instar.config import parse_assignment
    from instar.errors import ConfigError

    found: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    for path, value in map(parse_assignment, settings or []):
        group, *name = path
        if group != "training" or len(name) != 1:
            raise ConfigError(f"only settings of the training can be set here, not '{'.'.join(path)}'.")
        found[name[0]] = value
    return found


def read_targets(targets: str | None) -> dict[str, Any]:
    """Return the settings that --targets stands for."""
    if targets is None:
        return {}
    from instar.stages.arguments import target_settings

    return {name: value for name, value in target_settings(targets).items() if value}


def read_teachers(teacher: list[str] | None, combine: str | None) -> dict[str, Any]:
    """Return the settings of those who are asked, where they were given."""
    flags: dict[str, Any] = {"teachers": list(teacher)} if teacher else {}
    return flags if combine is None else flags | {"combine": combine}


def parse_numbers(flag: str, text: str) -> tuple[float, ...]:
    """Read numbers with commas between them.

    >>> parse_numbers("--weights", "0,0.5")
    (0.0, 0.5)
    """
    from instar.errors import ConfigError

    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise ConfigError(f"{flag} must be numbers with commas between, such as 1,2.5, got '{text}'.") from None


def read_share(text: str) -> tuple[int, int]:
    """Read i/n."""
    from instar.errors import ConfigError

    first, _, of = text.partition("/")
    if not (first.isdigit() and of.isdigit()):
        raise ConfigError(f"--share must be i/n, such as 1/4, got '{text}'.")
    return int(first), int(of)


def names_a_class(model: str | None) -> bool:
    """Return whether the user named a class on this command line: that is saying that it may be imported."""
    return import_from_here(model is not None and ":" in model and not model.startswith("transformers:"))
