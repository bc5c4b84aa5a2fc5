"""The graph of decision trees in ONNX: one TreeEnsembleRegressor whose nodes ask about raw inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from instar.exporting.decisions import decide
from instar.exporting.student import Student
from instar.models.questions import Question, Questions

OPSET, TREES_OPSET, IR_VERSION = 17, 3, 8
"""Versions that runtimes read since 2022; thresholds of float64 came with version 3 of the operators of trees."""

_MODES = {
    Question.NONE: "LEAF",
    Question.AT_MOST: "BRANCH_LEQ",
    Question.IS: "BRANCH_EQ",
    Question.MISSING: "BRANCH_LT",  # x < -infinity, which only a missing value answers with yes
}


def make_tree_graph(student: Student) -> Any:
    """Return a model of ONNX with the input "inputs" and the output "logits".

    Rows become float64, and thresholds are float64 numbers between those of the type of the rows, so each row takes the
    same path as in the network.

    Raises:
        MismatchError: when the student is no decision tree.
    """
    from onnx import TensorProto, helper, numpy_helper

    questions = decide(student, "onnx").questions
    trees = questions.trees
    nodes = [
        helper.make_node("Flatten", ["inputs"], ["flat"], axis=1),
        helper.make_node("Cast", ["flat"], ["rows"], to=TensorProto.DOUBLE),
        _make_ensemble(questions),
    ]
    last = "outputs"
    if trees.meaning == "probabilities":
        nodes.append(helper.make_node("Log", [last], ["log"]))
        last = "log"
    constants = []
    if not questions.allows_missing:
        constants = [numpy_helper.from_array(np.array(np.nan, np.float32), "nan")]
        nodes += [
            helper.make_node("IsNaN", ["rows"], ["missing"]),
            helper.make_node("Cast", ["missing"], ["counted"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMax", ["counted"], ["any"], axes=[1], keepdims=1),
            helper.make_node("Cast", ["any"], ["is_missing"], to=TensorProto.BOOL),
            helper.make_node("Where", ["is_missing", "nan", last], ["known"]),
        ]
        last = "known"
    nodes.append(helper.make_node("Identity", [last], ["logits"]))
    told = student.header["inputs"]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(told["dtype"]))
    given = helper.make_tensor_value_info("inputs", kind, ["batch", *told["shape"]])
    found = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", trees.outputs])
    graph = helper.make_graph(nodes, "trees", [given], [found], constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", TREES_OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="instar")


def _make_ensemble(questions: Questions) -> Any:
    """Return the node from "rows" to "outputs"."""
    from onnx import helper, numpy_helper

    trees = questions.trees
    is_leaf = questions.asked == Question.NONE
    owner = np.zeros(len(is_leaf), np.int64)
    owner[trees.roots] = np.arange(len(trees.roots))
    for node in np.flatnonzero(~is_leaf).tolist():  # parents come before their children
        owner[trees.left[node]] = owner[trees.right[node]] = owner[node]
    order = np.argsort(owner, kind="stable")
    leaves = order[is_leaf[order]]
    outputs = trees.outputs
    values = trees.values[leaves] / (len(trees.roots) if trees.combine == "mean" else 1)
    bounds = np.where(questions.asked == Question.MISSING, -np.inf, questions.bounds)
    return helper.make_node(
        "TreeEnsembleRegressor",
        ["rows"],
        ["outputs"],
        domain="ai.onnx.ml",
        aggregate_function="SUM",
        n_targets=outputs,
        nodes_treeids=owner[order].tolist(),
        nodes_nodeids=order.tolist(),
        nodes_featureids=questions.places[order].tolist(),
        nodes_modes=[_MODES[Question(asked)] for asked in questions.asked[order].tolist()],
        nodes_values_as_tensor=numpy_helper.from_array(np.where(is_leaf, 0.0, bounds)[order], "bounds"),
        nodes_truenodeids=np.where(is_leaf, 0, questions.yes)[order].tolist(),
        nodes_falsenodeids=np.where(is_leaf, 0, questions.no)[order].tolist(),
        nodes_missing_value_tracks_true=questions.if_missing[order].astype(int).tolist(),
        target_treeids=np.repeat(owner[leaves], outputs).tolist(),
        target_nodeids=np.repeat(leaves, outputs).tolist(),
        target_ids=np.tile(np.arange(outputs), len(leaves)).tolist(),
        target_weights_as_tensor=numpy_helper.from_array(values.ravel(), "values"),
        base_values_as_tensor=numpy_helper.from_array(trees.base, "base"),
    )
