"""What a run folder records of trees for the report: how large all are, what they ask, and the first of them in words.

tree.safetensors
  leaves, depths   of each tree of the model, int32 `[trees]`
  yes, no          the node that follows each answer, int32 `[nodes]`, of the shown trees one behind the other; -1 at a
                   leaf
  outputs          soft targets (probabilities) that a node predicts as a leaf, its numbers, or the steps that a tree of
                   a booster adds to them, float32 `[nodes, outputs]`
  samples          training samples that reach a node, int64 `[nodes]`
  labels           those of them with each label, int64 `[nodes, classes]`; none where the labels are numbers
    header: `questions`, the conditions of "yes" and "no" in a few digits and in all, `roots` of the shown trees,
    `columns`, the name, number of questions and number of trees of each column that is asked for, `outputs`, what they
    are, `classes`, and the limits `most_trees` and `most_nodes` of the picture
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.models.boosting import Boosting
from instar.models.normalised import Normalised
from instar.models.questions import Question, Questions, ask_raw
from instar.models.tree_ensemble import TreeEnsemble
from instar.runs.files import write_tensors
from instar.runs.run import Run
from instar.teachers.teacher import Teacher
from instar.trees.arrays import TreeArrays

TREE_FILE = "tree.safetensors"
MAX_SHOWN_TREES, MAX_SHOWN_NODES = 3, 5000
"""The first trees that a picture shows, and their nodes together."""
MAX_COUNTED_SAMPLES, COUNTED_AT_ONCE = 50_000, 4096
"""Training samples that are counted in each node, drawn at random if there are more; they take about a second."""


def keep_trees(run: Run, model: Teacher, data: Data, device: torch.device | str) -> None:
    """Write what the report shows of a model that is a tree, a forest or a booster; nothing for other models.

    Args:
        run: the folder.
        model: the model of the run.
        data: its data, whose training samples are counted.
        device: device of the model.
    """
    found = find_trees(model)
    if found is None:
        return
    samples = data.train
    samples = samples.subset(min(MAX_COUNTED_SAMPLES, len(samples)), seed=0)
    network = found.network
    assert isinstance(network, TreeEnsemble), "find_trees returns no other"
    starts = [*network.roots.tolist(), len(network.compared)]
    shown = max(number for number in range(min(MAX_SHOWN_TREES + 1, len(starts))) if starts[number] <= MAX_SHOWN_NODES)
    loader = Loader(samples, COUNTED_AT_ONCE, seed=0, device=device)
    counts, questions = _count(found, loader, len(data.classes), shown)
    questions_in_words = [
        None
        if asked == Question.NONE
        else [[questions.tell(node, answer=answer, exact=exact) for answer in (True, False)] for exact in (False, True)]
        for node, asked in enumerate(questions.asked[: len(counts)].tolist())
    ]
    is_number = samples.source.task.predicts_numbers
    kind, outputs = _read_outputs(network, questions, counts, is_number=is_number)
    sizes = np.diff(starts)
    tensors = {
        "leaves": torch.from_numpy((sizes + 1) // 2),
        "depths": torch.from_numpy(questions.trees.depths.copy()),
        "yes": torch.from_numpy(questions.yes[: len(counts)].astype(np.int32)),
        "no": torch.from_numpy(questions.no[: len(counts)].astype(np.int32)),
        "outputs": torch.from_numpy(outputs.astype(np.float32)),
        "samples": torch.from_numpy(counts.sum(1)),
    }
    if not is_number:
        tensors["labels"] = torch.from_numpy(counts[:, : len(data.classes)].copy())
    header = {
        "questions": questions_in_words,
        "roots": starts[:shown],
        "columns": _count_columns(questions, np.repeat(np.arange(len(sizes)), sizes)),
        "outputs": kind,
        "classes": list(data.classes),
        "most_trees": MAX_SHOWN_TREES,
        "most_nodes": MAX_SHOWN_NODES,
    }
    write_tensors(run.path / TREE_FILE, tensors, header)


def find_trees(model: Teacher) -> Normalised | None:
    """Return the network of a model that is one tree or several, with a question at least; None for others."""
    networks = list(model.modules())
    network = networks[0] if len(networks) == 1 else None
    if not isinstance(network, Normalised) or not isinstance(network.network, TreeEnsemble):
        return None
    return network if network.network.depth else None


@torch.no_grad()
def _count(found: Normalised, loader: Loader, classes: int, shown: int) -> tuple[NDArray[np.int64], Questions]:
    """Return how many samples of each label, and without one in the last column, reach each node of the shown trees."""
    network, shape, dtype = found.network, tuple[int, ...](), "float32"
    assert isinstance(network, TreeEnsemble), "find_trees returns no other"
    starts = [*network.roots.tolist(), len(network.compared)]
    counts = np.zeros((starts[shown], classes + 1), np.int64)
    for batch in loader.in_order():
        raw = batch.read(found.reader)
        assert isinstance(raw, Tensor), "a tree reads one tensor"
        shape, dtype = tuple(raw.shape[1:]), str(raw.dtype).removeprefix("torch.")
        if not shown:
            break
        prepared = found.prepare(raw)
        assert isinstance(prepared, Tensor), "a tree reads one tensor"
        labels = batch.labels.cpu().numpy()
        if loader.samples.source.task.predicts_numbers:
            labels = np.full(len(labels), -1)
        places = np.where(labels < 0, classes, labels).astype(np.intp)
        np.add.at(counts, (network.apply_trees(prepared, shown).cpu().numpy(), places[:, None]), 1)
    questions = ask_raw(found, shape, dtype)
    for node in _inner_nodes(questions, len(counts)):
        counts[node] = counts[questions.yes[node]] + counts[questions.no[node]]
    return counts, questions


def _inner_nodes(questions: Questions, count: int) -> list[int]:
    """Return the first nodes that are no leaves, the last one first, because children come after their parents."""
    found: list[int] = np.flatnonzero(questions.asked[:count] != Question.NONE)[::-1].tolist()
    return found


def _read_outputs(
    network: TreeEnsemble, questions: Questions, counts: NDArray[np.int64], *, is_number: bool
) -> tuple[str, NDArray[np.float64]]:
    """Return what the outputs of nodes are, and the outputs."""
    trees: TreeArrays = questions.trees
    values = trees.values[: len(counts)]
    if isinstance(
        network, Boosting
    ):  # an inner node has the mean step of its samples, because its leaves alone have one
        values, samples = values.copy(), counts.sum(1)
        for node in _inner_nodes(questions, len(counts)):
            both = [questions.yes[node], questions.no[node]]
            values[node] = np.average(values[both], axis=0, weights=samples[both] if samples[node] else None)
        return "steps", values
    if is_number:
        return "numbers", values + trees.base
    return "probabilities", softmax(values + trees.base, axis=1) if trees.meaning == "logits" else values


def _count_columns(questions: Questions, tree_of_node: NDArray[np.int64]) -> list[tuple[str, int, int]]:
    """Return the name, number of questions and number of trees of each column that is asked for, the most asked first.

    Args:
        questions: questions of all trees.
        tree_of_node: number of the tree of each node, `[nodes]`.
    """
    asks = questions.asked != Question.NONE
    pairs = np.stack([questions.places[asks], tree_of_node[asks]])
    asked = np.bincount(pairs[0], minlength=len(questions.columns))
    trees = np.bincount(np.unique(pairs, axis=1)[0], minlength=len(questions.columns))
    order = [place for place in np.argsort(-asked, kind="stable").tolist() if asked[place]]
    return [(questions.columns[place].name, int(asked[place]), int(trees[place])) for place in order]
