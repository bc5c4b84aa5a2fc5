"""Failures in other processes reach the exit code, and leave the rest complete."""

import os
import subprocess
import sys

from instar.runs.run import Run

LINEAGE = ["born-again", "digits", "--generations", "1", "--epochs", "1", "--set", "data.subset=120", "--jobs", "2"]


def test_a_sentence_from_a_worker_is_exit_code_2(tmp_path, instar):
    small = ["--model", "mlp", "--arg", "widths=[8]"]
    code, out, err = instar(*LINEAGE, *small, "--objective", "1e38 * SoftTargets(1000)", "--out", str(tmp_path))
    assert (code, out) == (2, "")
    assert err.startswith("instar: generation 1 diverged, and generations 0 to 0 are kept: term")
    assert err.count("\n") == 1
    assert all(Run(tmp_path / name).complete for name in ("generation-0", "labels-1", "label-smoothing"))
    assert "NonFiniteError" in (tmp_path / "generation-1" / "error.txt").read_text()


def test_an_error_of_the_program_in_a_worker_is_exit_code_1(tmp_path):
    (tmp_path / "broken.py").write_text(
        "from torch import nn\n"
        "class Broken(nn.Module):\n"
        "    is_seen = False\n"
        "    def __init__(self, num_classes):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(64, num_classes)\n"
        "    def forward(self, inputs):\n"
        "        self.is_seen |= self.training and len(inputs) == 50\n"
        "        return self.layer(inputs.flatten(1))\n"
        "    def state_dict(self, *arguments, **named):\n"
        "        return {}['missing'] if self.is_seen else super().state_dict(*arguments, **named)\n"
    )
    # it fails when a checkpoint is saved, and not in forward, where it would be a sentence about the network; the step
    # that is rehearsed before training has fewer samples
    words = [*LINEAGE, "--set", "training.batch_size=50", "--model", "broken:Broken", "--out", "lineage"]
    command = [sys.executable, "-m", "instar.cli", *words]
    ended = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "3 of 3 tasks failed: 'lineage', 'lineage/labels-1', 'lineage/label-smoothing'" in ended.stderr
    assert "KeyError: 'missing'" in ended.stderr


def test_no_place_is_exit_code_2_before_the_first_run(tmp_path, instar):
    for verb in (LINEAGE[:-2], ["demo"], ["papers", "run", "hinton2015-mnist"]):
        code, _, err = instar(*verb, "--jobs", "rays", "--out", str(tmp_path / "out"))
        assert (code, err) == (
            2,
            "instar: jobs must be a number of processes, 'ray' or 'ray://host:port', got 'rays'.\n",
        )
        assert not (tmp_path / "out").exists()
