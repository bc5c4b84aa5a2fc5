"""Prints results on stdout, as text or as JSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instar.runs.run import Run
    from instar.targets.store import TargetStore


def print_once(text: object) -> None:
    """Print on stdout, once where several processes train one run, as torchrun starts them."""
    if os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0":
        print(text)


def print_json(values: Any) -> None:
    """Print values as JSON, with null for NaN and infinite numbers."""
    from instar.runs.files import to_json  # late, because `--help` must not wait for torch

    print_once(to_json(values))


def print_result(values: Any, text: object, as_json: bool) -> None:
    """Print the result of a verb as text or as JSON."""
    if as_json:
        print_json(values)
    else:
        print_once(text)


def print_run(run: Run, as_json: bool) -> None:
    """Print the result of a complete run."""
    if as_json:
        print_json({"run": str(run.path), **run.result})
        return
    # a run with judge_test=false, such as a trial, has metrics of the validation split only
    test, validation = run.result["metrics"], run.result["validation"]
    title = str(run.path) if test else f"{run.path} (validation)"
    print_metrics(test or validation, as_json, title)


def print_metrics(metrics: dict[str, Any], as_json: bool, title: str) -> None:
    """Print metrics under a title."""
    if as_json:
        print_json(metrics)
        return
    from instar.tasks.catalogue import known_metrics

    print_once(title)
    lines = {metric.label: metric.terminal_line(metrics) for metric in known_metrics().values()}
    lines = {label: line for label, line in lines.items() if line is not None}
    width = max(10, *map(len, lines))
    for label, line in lines.items():
        print_once(f"  {label:<{width}} {line}")


def print_store(store: str | Path | TargetStore, as_json: bool) -> None:
    """Print the description of a target store."""
    from instar.procedures.target_stores import describe_targets
    from instar.procedures.target_stores import targets_info as info

    if as_json:
        print_json(info(store))
    else:
        print_once(describe_targets(store if isinstance(store, str | Path) else store.path))
