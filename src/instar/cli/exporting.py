"""`export`, `born-again-tree`, `predict`, `inspect`, `layers` and `verify-data`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import instar
from instar.cli import options, tree_options
from instar.cli.output import print_json, print_result
from instar.cli.settings import only_given, parse_model, parse_settings

if TYPE_CHECKING:
    from instar.inspection.description import Inspection

MAX_LINE_CLASSES = 20  # names on one line; --json has them all


def export(
    run: options.ExportedArgument,
    to: options.ToOption,
    out: options.ExportOutOption = None,
    data: options.OtherDataOption = None,
    quantise: options.QuantiseOption = None,
    tolerance: options.ToleranceOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
    network: options.NetworkOption = None,
) -> None:
    """Write a trained model for other programs.

    The export takes raw inputs and returns logits; Instar compares it with the model on test samples.

    Example: instar export runs/student --to onnx
    """
    given = only_given(out=out, data=data, quantise=quantise, tolerance=tolerance, network=network)
    found = instar.export(run, to, trust=trust, **given)
    print_result(found.as_dict(), found, as_json)


def born_again_tree(
    forest: tree_options.ForestArgument,
    out: tree_options.TreeOutOption,
    by: tree_options.TreeSizeOption = None,
    data: tree_options.ForestDataOption = None,
    settings: options.SetOption = None,
    prune: tree_options.PruneOption = False,
    method: tree_options.RowsMethodOption = None,
    seed: tree_options.TreeSeedOption = None,
    max_boxes: tree_options.MaxBoxesOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
) -> None:
    """Make one tree that predicts the class of a forest for every row.

    Proves that it does, in every cell of the space; a pruned tree, and one of manufactured rows, is smaller and not
    equal everywhere. The file of the tree can teach, be evaluated, and be exported.

    Example: instar born-again-tree forest.skops --trust --by leaves --out tree.safetensors
    """
    given = only_given(by=by, data=data, method=method, seed=seed, max_boxes=max_boxes)
    given |= {"settings": parse_settings(settings)}
    found = instar.born_again_tree(forest, out=out, prune=prune, trust=trust, **given)
    print_result(found.as_dict(), found, as_json)


def predict(
    run: options.RunArgument,
    inputs: options.FilesArgument,
    top: options.TopClassesOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
    network: options.NetworkOption = None,
) -> None:
    """Label new inputs with a trained model.

    Prints the likeliest class of each input and its probability. Inputs are images, recordings, texts or the rows of a
    file, as in training, and are read as they were there.

    Example: instar predict runs/student photos/*.jpg
    """
    found = instar.predict(run, inputs, trust=trust, **only_given(top=top, network=network))
    print_result([one.as_dict() for one in found], "\n".join(map(str, found)), as_json)


def layers(
    model: options.LayersArgument,
    arg: options.ArgOption = None,
    data: options.ShapeDataOption = None,
    settings: options.SetOption = None,
    network: options.NetworkOption = None,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
) -> None:
    """List the layers of a model: names, shapes of their outputs, and parameters.

    Terms of hidden layers, such as AttentionTransfer, read them by these names.

    Example: instar layers resnet --arg depth=20 --data digits
    """
    # a run folder is a path, and a class of the user's is trusted because its name was typed
    named: Any = parse_model(model, arg) if arg or ":" in model else model
    found = instar.layers(named, data=data, settings=parse_settings(settings), network=network, trust=trust)
    print_result(found.as_dict(), found, as_json)


def verify_data(
    data: options.DecodedDataArgument,
    settings: options.SetOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Hash the decoded copy of a data set.

    Compares all bytes with the hashes that were made when the data were decoded, and names the file that differs.

    Example: instar verify-data ../shared/data/mnist
    """
    found = instar.verify_data(data, settings=parse_settings(settings))
    print_result(found.as_dict(), found, as_json)


def inspect(
    run: options.RunArgument,
    as_json: options.JsonOption = False,
    trust: options.TrustOption = False,
    network: options.NetworkOption = None,
) -> None:
    """Describe a run folder, and suggest next commands.

    Prints model, origin, scores and files, and names damaged ones.

    Example: instar inspect runs/student
    """
    found = instar.inspect(run, trust=trust, network=network)
    if as_json:
        print_json(found.as_dict())
    else:
        _print_page(found)


def _print_page(found: Inspection) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from instar.errors import one_line

    # nothing from a folder is interpreted: no [markup], no :emoji:, no colours for what looks like a number
    console = Console(highlight=False, markup=False, emoji=False)

    def section(title: str, rows: list[tuple[Any, ...]]) -> None:
        # damaged or incomplete folders leave gaps, and a section without content has no title
        kept = [row for row in rows if any(cell not in (None, "") for cell in row[1:])]
        if not kept:
            return
        console.print(Text(title, style="bold"))
        table = Table.grid(padding=(0, 2))
        for number in range(len(kept[0])):
            # folded and never cut off: fingerprints and paths must be whole
            table.add_column(overflow="fold", no_wrap=number == 0)
        for row in kept:
            table.add_row(*(Text(one_line("" if cell is None else cell)) for cell in (f"  {row[0]}", *row[1:])))
        console.print(table)

    colour = {"complete": "green", "incomplete": "yellow", "damaged": "red"}[found.state]
    console.print(Text.assemble((one_line(found.path), "bold"), "  ", (found.state, colour)))
    section("model", _model_rows(found))
    section("training", _origin_rows(found))
    section("scores", [(f"{s.split} {s.name}", *s.text(), s.how) for s in found.scores])
    section("files", [(file.name, f"{file.bytes:,} bytes", file.problem) for file in found.files])
    step = None if found.resumes_at is None else f"from the checkpoint after step {found.resumes_at}"
    section("state", [("damaged", file.name, file.problem) for file in found.damaged])
    section("notes", [("resumes", step), *(("note", note) for note in found.notes)])
    if found.commands:
        console.print(Text("next commands", style="bold"))
        for command in found.commands:
            # left to the terminal to wrap, so that a command can be copied as one line
            console.print(Text(f"  {one_line(command)}"), soft_wrap=True)


def _model_rows(found: Inspection) -> list[tuple[str, Any]]:
    model = found.model  # every value may be None, where the file that has it is missing or damaged
    arguments = ", ".join(f"{key}={value}" for key, value in (model["arguments"] or {}).items() if value)
    classes = model["classes"]
    names = None if classes is None else f"{len(classes)}: {', '.join(map(repr, classes[:MAX_LINE_CLASSES]))}"
    return [
        ("name", f"{model['name']}({arguments})" if model["name"] else None),
        ("parameters", None if model["parameters"] is None else f"{model['parameters']:,}"),
        ("weights", None if model["bytes"] is None else f"{model['bytes']:,} bytes"),
        ("inputs", None if model["input_shape"] is None else _describe_inputs(model)),
        ("reader", None if model["reader"] == "AsIs()" else model["reader"]),
        ("classes", names if classes is None or len(classes) <= MAX_LINE_CLASSES else f"{names}, ..."),
    ]


def _describe_inputs(model: Mapping[str, Any]) -> str:
    kinds = model["dtype"].values() if isinstance(model["dtype"], dict) else [model["dtype"]]
    if "cells" in kinds:
        return "rows of a table"
    if "text" in kinds:
        return "texts" if len(kinds) == 1 else "pairs of texts"
    return f"{model['input_shape']} per sample, raw"


def _describe_phase(phase: Mapping[str, Any]) -> str:
    seconds = "not complete" if phase["seconds"] is None else f"{phase['seconds']:.1f} s"
    return f"{phase['folder']}: {phase['objective']}, {phase['epochs']} epochs, {seconds}"


def _origin_rows(found: Inspection) -> list[tuple[str, Any]]:
    origin = found.origin
    # an incomplete start may have no config.json
    data, fingerprints = origin["data"] or {}, origin["fingerprints"].get("data") or {}
    teachers = origin["teachers"] or ()
    combined = f" ({origin['combine']} mean)" if len(teachers) > 1 else ""
    return [
        ("data", data.get("source")),
        ("fingerprints", ", ".join(f"{name} {value}" for name, value in fingerprints.items())),
        ("teachers", f"{', '.join(teachers)}{combined}" if teachers else None),
        ("start", None if found.phases else origin["start"]),
        ("start layers", ", ".join(f"{own} from {other}" for own, other in (origin["start_layers"] or {}).items())),
        *(("phase before", _describe_phase(phase)) for phase in found.phases),
        ("objective", origin["objective"]),
        ("temperature", ", ".join(f"{value:g}" for value in origin["temperatures"] or [])),
        ("targets", origin["targets"] if teachers else None),  # without a teacher the setting has no effect
        ("views", origin["views"]),
        ("seed", origin["seed"]),
        ("corrected", origin["corrected"]),
        ("date", origin["date"]),
        ("commit", origin["commit"]),
        ("command", origin["command"]),
    ]
