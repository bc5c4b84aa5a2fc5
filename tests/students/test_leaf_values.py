"""The best constants of leaves, against a minimiser that knows nothing of their formulas."""

import numpy as np
import pytest
import torch

from instar.data.batch import Batch
from instar.objectives import WeightedLabels, parse_objective
from instar.students.examples import Examples, Part
from instar.students.leaf_values import gather_sums, solve
from instar.targets import DenseTargets
from instar.trees.cost_complexity import find_best_subtree

OBJECTIVES = [
    "HardLabels()",
    "HardLabels(0.2)",
    "SoftTargets(1)",
    "SoftTargets(4)",
    "LogitMatching()",
    "SoftTargets(1) + 0.3 * HardLabels()",
    "SoftTargets(4) + 0.1 * HardLabels()",
    "0.5 * SoftTargets(2) + 2 * LogitMatching() + 0.3 * HardLabels()",
    "UnlabelledSoftTargets(3) + HardLabels()",
    "ConfidenceWeighted() + SoftTargets(2)",
    "WeightedLabels() + SoftTargets(2)",
]


@pytest.mark.parametrize("text", OBJECTIVES)
def test_constant_logits_have_the_least_loss(text):
    torch.manual_seed(0)
    labels = torch.randint(-1, 4, (60,))
    labels[:4] = torch.arange(4)
    batch, targets = Batch.of_labels(labels), DenseTargets(2 * torch.randn(60, 4))
    objective = parse_objective(text)
    if "Weighted" in text:
        weighted, *others = (term for _, term in objective.parts)
        if isinstance(weighted, WeightedLabels):
            objective = weighted.fit_to_classes(labels[labels >= 0].bincount(), "abcd") + others[0]
    examples = Examples([Part(batch, torch.zeros(60, 1), targets)], 4)
    sums = gather_sums(objective, examples)
    groups = [one.within(np.zeros(60, np.int64), 1) for one in sums]
    found = solve(groups)
    assert abs(found.mean()) < 1e-9

    # the loss is convex, so it is least where its gradient is 0
    logits = torch.tensor(found[0], requires_grad=True)
    loss = objective(logits.expand(60, 4), batch, targets)[0]
    loss.backward()
    np.testing.assert_allclose(logits.grad.numpy(), np.zeros(4), atol=1e-4)
    # and the sums alone tell the loss
    told = sum(one.losses(found) for one in groups)
    np.testing.assert_allclose(told, [loss.item()], rtol=1e-5)
    gradient = sum(one.gradient(np.tile(found, (60, 1))) for one in sums).sum(0)
    np.testing.assert_allclose(gradient, np.zeros(4), atol=1e-5)


def test_groups_are_solved_apart():
    torch.manual_seed(0)
    batch, targets = Batch.of_labels(torch.randint(4, (30,))), DenseTargets(torch.randn(30, 4))
    objective = parse_objective("SoftTargets(3) + LogitMatching()")
    sums = gather_sums(objective, Examples([Part(batch, torch.zeros(30, 1), targets)], 4))
    groups = np.arange(30) % 3
    together = solve([one.within(groups, 3) for one in sums])
    for group in range(3):
        rows = np.flatnonzero(groups == group)
        alone = solve([one.at(rows).within(np.zeros(len(rows), np.int64), 1) for one in sums])
        np.testing.assert_allclose(together[group], alone[0], atol=1e-7)


def test_pruning_finds_the_best_of_the_subtrees_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.tree")
    draws = np.random.default_rng(0)
    rows, others = draws.normal(size=(2, 90, 5))
    wanted = [x[:, :2] + 0.8 * draws.normal(size=(90, 2)) for x in (rows, others)]
    whole = sklearn.DecisionTreeRegressor(random_state=0).fit(rows, wanted[0])
    tree, path = whole.tree_, whole.cost_complexity_pruning_path(rows, wanted[0])
    costs = tree.impurity * tree.n_node_samples
    places = whole.decision_path(others).toarray().astype(bool)  # [rows, nodes]
    errors = ((wanted[1][:, None] - tree.value[None, :, :, 0]) ** 2).mean(2)
    held_out = (errors * places).sum(0)
    leaves = find_best_subtree(tree.children_left, tree.children_right, costs, held_out)
    # every subtree of the path, fitted anew
    scores = []
    for alpha in path.ccp_alphas:
        pruned = sklearn.DecisionTreeRegressor(random_state=0, ccp_alpha=alpha * (1 + 1e-9)).fit(rows, wanted[0])
        scores.append((((pruned.predict(others) - wanted[1]) ** 2).sum() / 2, pruned.get_n_leaves()))
    best = min(scores)
    assert 1 < best[1] < whole.get_n_leaves()
    waiting, count, total = [0], 0, 0.0
    while waiting:
        node = waiting.pop()
        if leaves[node] or tree.children_left[node] < 0:
            count, total = count + 1, total + held_out[node]
        else:
            waiting += [tree.children_left[node], tree.children_right[node]]
    assert (count, round(total, 6)) == (best[1], round(best[0], 6))
