"""Trees that vote: each for the likeliest class of its leaf, with fewer leaves and the same votes for every row."""

import numpy as np
import pytest
from tests.trees.test_arrays import drawn_forest
from tests.trees.test_equality import all_rows

from instar.errors import MismatchError
from instar.trees import let_trees_vote


@pytest.mark.parametrize("classes", [2, 3])
def test_the_class_with_most_votes_wins_in_every_cell(classes):
    forest = drawn_forest(1, trees=3, depth=3, columns=3, outputs=classes)
    voting, rows = let_trees_vote(forest), all_rows(forest)
    votes = forest.values[forest.apply(rows)].argmax(2)
    shares = np.stack([(votes == one).mean(1) for one in range(classes)], 1)
    np.testing.assert_allclose(voting.predict(rows), shares)
    assert len(voting.roots) == 3
    assert voting.leaf_count < forest.leaf_count
    inner = voting.features >= 0
    pairs = voting.left[inner], voting.right[inner]
    alike = (voting.values[pairs[0]] == voting.values[pairs[1]]).all(1)
    assert not (alike & (voting.features[pairs[0]] < 0) & (voting.features[pairs[1]] < 0)).any()


def test_trees_that_add_up_have_no_votes():
    ensemble = pytest.importorskip("sklearn.ensemble")
    x, y = np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 2
    with pytest.raises(MismatchError, match="add up to its outputs"):
        let_trees_vote(ensemble.GradientBoostingClassifier(n_estimators=2).fit(x, y))
