"""Results on stdout, for people or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from instar.paths import local_path

if TYPE_CHECKING:
    from instar.config import RunConfig
    from instar.runs.run import Run
    from instar.targets import TargetStore


def print_json(values: Any) -> None:
    """Print values as JSON, with null for numbers that are not finite."""
    from instar.runs.files import to_json

    print(to_json(values))


def print_result(values: Any, text: object, as_json: bool) -> None:
    """Print what a verb found, as JSON or for people."""
    if as_json:
        print_json(values)
    else:
        print(text)


def run_stage(config: RunConfig, out: str, *, trust: bool, trust_model: bool, as_json: bool) -> None:
    """Run a stage, and print what came of it."""
    from instar.stages.stage import Stage

    print_run(Stage(config, local_path(out, "out"), trust=trust, trust_model=trust_model).run(), as_json)


def print_run(run: Run, as_json: bool) -> None:
    """Print the result of a complete run."""
    if as_json:
        print_json({"run": str(run.path), **run.result})
        return
    test, validation = run.result["metrics"], run.result["validation"]
    title = str(run.path) if test else f"{run.path} (validation)"
    print_metrics(test or validation, as_json, title)


def print_metrics(metrics: dict[str, Any], as_json: bool, title: str) -> None:
    """Print metrics under a title."""
    if as_json:
        print_json(metrics)
        return
    low, high = metrics["error_interval"]
    print(title)
    errors = f"{metrics['errors']} of {metrics['samples']}"
    print(f"  errors     {errors}: {metrics['error']:.2%} (95%: {low:.2%} to {high:.2%})")
    print("  nll        " + ("infinite" if metrics["nll"] is None else f"{metrics['nll']:.4f} nats"))
    if metrics.get("perplexity") is not None:
        print(f"  perplexity {metrics['perplexity']:.2f} per token")
    if "word_error" in metrics:
        print(f"  words      {metrics['word_errors']} of {metrics['words']} wrong: {metrics['word_error']:.2%}")
    print(f"  ece        {metrics['ece']:.2%}")
    if "agreement" in metrics:
        print(f"  agreement  {metrics['agreement']:.2%} with the teacher")


def print_store(store: str | Path | TargetStore, as_json: bool) -> None:
    """Print what a target store says about itself."""
    from instar.procedures.target_stores import describe_targets
    from instar.procedures.target_stores import targets_info as info

    if as_json:
        print_json(info(store))
    else:
        print(describe_targets(store if isinstance(store, str | Path) else store.path))
