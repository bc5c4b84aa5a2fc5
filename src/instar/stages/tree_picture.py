"""What a run folder records of a tree for the report: its questions in words, and the training samples of each node.

tree.safetensors
  yes, no      the node that follows each answer, int32 `[nodes]`; -1 at a leaf
  outputs      soft targets (probabilities) that a node predicts as a leaf, or its numbers, float32 `[nodes, outputs]`
  samples      training samples that reach a node, int64 `[nodes]`
  labels       those of them with each label, int64 `[nodes, classes]`; none where the labels are numbers
    header: `questions`, the conditions of "yes" and "no" in a few digits and in all, `classes`, and `leaves`
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.models.normalised import Normalised
from instar.models.questions import Question, Questions, ask_raw
from instar.models.tree_ensemble import TreeEnsemble
from instar.runs.files import write_tensors
from instar.runs.run import Run
from instar.teachers.teacher import Teacher

TREE_FILE = "tree.safetensors"
MAX_SHOWN_NODES = 5000
"""Larger trees have no picture."""
MAX_COUNTED_SAMPLES, COUNTED_AT_ONCE = 50_000, 4096
"""Training samples that are counted in each node, drawn at random if there are more; they take about a second."""


def keep_tree(run: Run, model: Teacher, data: Data, device: torch.device | str) -> None:
    """Write the picture of a model that is a single tree; nothing for other models, and for trees that are too large.

    Args:
        run: the folder.
        model: the model of the run.
        data: its data, whose training samples are counted.
        device: device of the model.
    """
    tree = find_tree(model)
    if tree is None:
        return
    samples = data.train
    samples = samples.subset(min(MAX_COUNTED_SAMPLES, len(samples)), seed=0)
    counts, questions = _count(tree, Loader(samples, COUNTED_AT_ONCE, seed=0, device=device), len(data.classes))
    values = questions.trees.values + questions.trees.base
    if questions.trees.meaning == "logits":
        values = softmax(values, axis=1)
    told = [
        None
        if asked == Question.NONE
        else [[questions.tell(node, answer=answer, exact=exact) for answer in (True, False)] for exact in (False, True)]
        for node, asked in enumerate(questions.asked.tolist())
    ]
    tensors = {
        "yes": torch.from_numpy(questions.yes.astype(np.int32)),
        "no": torch.from_numpy(questions.no.astype(np.int32)),
        "outputs": torch.from_numpy(values.astype(np.float32)),
        "samples": torch.from_numpy(counts.sum(1)),
    }
    if questions.trees.meaning != "numbers":
        tensors["labels"] = torch.from_numpy(counts[:, : len(data.classes)].copy())
    header = {"questions": told, "classes": list(data.classes), "leaves": questions.trees.leaf_count}
    write_tensors(run.path / TREE_FILE, tensors, header)


def find_tree(model: Teacher) -> Normalised | None:
    """Return the network of a model that is one tree, small enough to be shown; None for others."""
    networks = list(model.modules())
    network = networks[0] if len(networks) == 1 else None
    if not isinstance(network, Normalised) or not isinstance(network.network, TreeEnsemble):
        return None
    tree = network.network
    return network if len(tree.roots) == 1 and 1 < len(tree.compared) <= MAX_SHOWN_NODES else None


@torch.no_grad()
def _count(tree: Normalised, loader: Loader, classes: int) -> tuple[NDArray[np.int64], Questions]:
    """Return how many samples of each label, and without one in the last column, reach each node."""
    network, shape, dtype = tree.network, tuple[int, ...](), "float32"
    assert isinstance(network, TreeEnsemble), "find_tree returns no other"
    counts = np.zeros((len(network.compared), classes + 1), np.int64)
    for batch in loader.in_order():
        raw = batch.read(tree.reader)
        assert isinstance(raw, Tensor), "a tree reads one tensor"
        shape, dtype = tuple(raw.shape[1:]), str(raw.dtype).removeprefix("torch.")
        prepared = tree.prepare(raw)
        assert isinstance(prepared, Tensor), "a tree reads one tensor"
        leaves = network.apply_trees(prepared)[:, 0].cpu().numpy()
        labels = batch.labels.cpu().numpy()
        if loader.samples.source.task.predicts_numbers:
            labels = np.full(len(leaves), -1)
        np.add.at(counts, (leaves, np.where(labels < 0, classes, labels).astype(np.intp)), 1)
    questions = ask_raw(tree, shape, dtype)
    for node in range(len(counts) - 1, -1, -1):  # children come after their parents
        if questions.asked[node] != Question.NONE:
            counts[node] = counts[questions.yes[node]] + counts[questions.no[node]]
    return counts, questions
