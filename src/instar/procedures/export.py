"""`instar export`: the student alone, in a format that other programs read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import nn

from instar.checks import NonNegative, checked
from instar.config import DataConfig
from instar.data.dataset import Data
from instar.errors import ConfigError, MismatchError, nearest
from instar.exporting.destination import new_export, refuse_in_use
from instar.exporting.quantisation import Quantised, quantise_onnx
from instar.exporting.recorded_predictions import Recorded
from instar.exporting.student import COMPARED_BATCH_SIZES, Predict, Student, read_student
from instar.exporting.to_c import write_c
from instar.exporting.to_hub import write_hub
from instar.exporting.to_onnx import write_onnx
from instar.exporting.to_python import write_python
from instar.exporting.to_rules import write_rules
from instar.exporting.to_safetensors import write_safetensors
from instar.exporting.to_skops import write_skops
from instar.exporting.to_torchscript import write_torchscript
from instar.exporting.to_transformers import write_transformers
from instar.exporting.tree_files import COMPARED_ROWS, compare_at_thresholds, names_trees, read_tree_file
from instar.paths import local_path
from instar.runs.rows import EXPORTS
from instar.runs.run import Run

MAX_LOGIT_DIFFERENCE = 1e-4
"""Largest difference of a logit, in nats.

If no logit differs by more than d, no probability changes by more than a factor of exp(2 d): 0.02% here. Sums of
float32 numbers in another order differ by about 1e-6 of the largest logit; a missing statistic or layer changes logits
by far more than 1e-2.
"""


class Format(NamedTuple):
    """A format: the name of its file or folder, and the function that writes it and returns how to run it."""

    name: str
    write: Callable[[Student, Path], Predict]
    is_folder: bool = False


FORMATS = {
    "onnx": Format("model.onnx", write_onnx),
    "safetensors": Format("model.safetensors", write_safetensors),
    "torchscript": Format("model.pt", write_torchscript),
    "hub": Format("hub", write_hub, is_folder=True),
    "transformers": Format("transformers", write_transformers, is_folder=True),
    "python": Format("model.py", write_python),
    "c": Format("model.c", write_c),
    "rules": Format("rules.txt", write_rules),
    "scikit-learn": Format("model.skops", write_skops),
}
"""Formats by the name for `--to`; one line for each new one."""


@dataclass(frozen=True)
class Exported:
    """An export that was written and compared.

    Args:
        path: file or folder of the export.
        to: format.
        bytes: size in bytes.
        inputs: dtype and shape of raw inputs; "batch" and "positions" stand for any number.
        outputs: dtype and shape of the logits.
        difference: largest difference of a logit on test samples between the export and the model, in nats.
        tolerance: largest difference that was allowed, in nats.
        recorded: comparison of the model with the predictions of the run; None if the data are not those of the run.
        quantised: comparison of the quantised file with the float one, which was compared with the model; None if it
            was not quantised.
        rows: number of rows at and beside the thresholds on which the export of a file of trees was compared with
            them, in place of test samples; None for a run.
    """

    path: str
    to: str
    bytes: int
    inputs: str
    outputs: str
    difference: float
    tolerance: float
    recorded: Recorded | None = None
    quantised: Quantised | None = None
    rows: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        sizes = " and ".join(map(str, COMPARED_BATCH_SIZES))
        compared = f"the model on {sizes} test samples"
        told = self.recorded or "nothing was compared, because the data are not those of the run"
        recorded = [f"  recorded   {told}"]
        if self.rows is not None:
            compared, recorded = f"the trees on {self.rows:,} rows at their thresholds and beside them", []
        return "\n".join(
            [
                self.path,
                f"  format     {self.to}, {self.bytes:,} bytes",
                f"  inputs     {self.inputs}, raw",
                f"  logits     {self.outputs}",
                f"  compared   with {compared}: logits differ by at most {self.difference:.2g} "
                f"(allowed: {self.tolerance:g})",
                *recorded,
                *([f"  quantised  {self.quantised}"] if self.quantised else []),
            ]
        )


@checked
def export(
    run: Run | str | Path,
    to: str,
    *,
    out: str | Path | None = None,
    data: Data | str | Sequence[Any] | DataConfig | None = None,
    quantise: Literal["int8"] | None = None,
    tolerance: NonNegative = MAX_LOGIT_DIFFERENCE,
    trust: bool = False,
    network: nn.Module | str | None = None,
) -> Exported:
    """Write the model of a run for other programs, and compare the export with the model before it gets its name.

    The export takes raw inputs, such as uint8 pixels, because it normalises them and shifts logits itself. It returns
    logits for any number of samples.

    Args:
        run: complete run, or its folder; or a file of trees that `born_again_tree` or `write_trees` wrote, as
            "python", "c" or "rules".
        to: "onnx", "safetensors" or "torchscript" for a file; "hub" for a folder in the layout of the Hugging Face Hub;
            "transformers" for a folder that Transformers opens, of a run whose student is a model of Transformers;
            "python", "c", "rules" (text) or "scikit-learn" (a file of skops) for a student that is a decision tree.
        out: file, which is replaced, or new or empty folder; None writes to the folder `export` of the run, or beside
            the file of trees.
        data: data whose test samples are compared; None takes the data of the run.
        quantise: "int8" writes an ONNX file with weights of 8 bits, and compares accuracy, classes and logits with
            those of the float file on up to 10,000 test samples.
        tolerance: largest allowed difference of a logit of the float file, in nats; see `MAX_LOGIT_DIFFERENCE`.
        trust: allow a model class outside `instar.models`.
        network: trained network, if the run was given one as a Python object; it is copied.

    Raises:
        ConfigError: for an unknown format, one whose packages are missing, or one that cannot be quantised.
        MismatchError: if the format cannot hold the model, its logits differ by more than the tolerance, or the run
            describes another model than the trained one.
        RunError: if the run is not complete, or `out` is in use or cannot be written.

    >>> import tempfile
    >>> from instar.models import MLP
    >>> from instar.procedures.train import train
    >>> trained = train("digits", MLP([8]), out=tempfile.mkdtemp() + "/run", epochs=1)
    >>> written = export(trained, "safetensors")
    >>> Path(written.path).name, written.inputs, written.difference
    ('model.safetensors', 'float32 [batch, 1, 8, 8]', 0.0)
    """
    if to not in FORMATS:
        raise ConfigError(f"format '{to}' is unknown; {nearest(to, FORMATS)}")
    if quantise and to != "onnx":
        raise ConfigError(f"quantise='{quantise}' needs the format onnx, got '{to}'.")
    if not isinstance(run, Run) and names_trees(run):
        if data is not None or network is not None:
            raise ConfigError(f"'{run}' is a file of trees, whose export needs neither data nor a network.")
        return _export_trees(Path(run), to, out, tolerance)
    run = run if isinstance(run, Run) else Run(run)
    form = FORMATS[to]
    name = f"model.{quantise}.onnx" if quantise else form.name
    path = local_path(out, "out") if out is not None else run.path / EXPORTS / name
    # before the model is read and compared, which may take minutes
    refuse_in_use(path, is_folder=form.is_folder)
    student = read_student(run, data, tolerance=tolerance, trust=trust, network=network)
    # `made` gets the name `path` only if nothing is raised here
    with new_export(path) as made:
        # the file that was written is run, not the module that wrote it; NaN counts as an infinite difference
        predict = form.write(student, made)
        difference = student.difference(predict)
        if difference > tolerance:
            raise MismatchError(
                f"the {to} export of '{run.path}' differs from its model by {difference:.2g} in a logit of a test "
                f"sample, and the tolerance is {tolerance:g}; nothing was written."
            )
        quantised = quantise_onnx(student, made, predict) if quantise else None
    # after the renaming; a folder of the Hub has a card and a configuration beside the weights
    files = [file for file in path.rglob("*") if file.is_file()] if form.is_folder else [path]
    inputs, outputs = student.shapes()
    size = sum(file.stat().st_size for file in files)
    return Exported(str(path), to, size, inputs, outputs, difference, tolerance, student.recorded, quantised)


def _export_trees(file: Path, to: str, out: str | Path | None, tolerance: float) -> Exported:
    found = read_tree_file(file, to)
    # beside the file, and not under its own name with another suffix, which may be that of the forest
    path = local_path(out, "out") if out is not None else file.with_name(f"{file.stem}_{FORMATS[to].name}")
    refuse_in_use(path, is_folder=False)
    with new_export(path) as made:
        difference = compare_at_thresholds(found.trees, found.write(made))
        if difference > tolerance:
            raise MismatchError(
                f"the {to} export of '{file}' differs from its trees by {difference:.2g} in a row at their thresholds, "
                f"and the tolerance is {tolerance:g}; nothing was written."
            )
    inputs, outputs = f"float64 [batch, {found.trees.columns}]", f"float32 [batch, {found.trees.outputs}]"
    return Exported(str(path), to, path.stat().st_size, inputs, outputs, difference, tolerance, rows=COMPARED_ROWS)
