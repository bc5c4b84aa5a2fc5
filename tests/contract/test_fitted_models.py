"""What every family without gradients keeps to. A new one is one new row in CASES."""

import numpy as np
import pytest
import torch

import instar.models
from instar.config import ModelConfig
from instar.errors import ConfigError
from instar.models import MODELS, Boosting, Estimator, Fitted, Forest, Nearest, Tree, build_network, describe_model
from instar.models.tree_ensemble import TreeEnsemble
from instar.students import STUDENTS
from instar.trees import TreeArrays

CASES = [
    Tree(depth=3, leaves=5, min_samples=2, smoothing=0.5, prune=False),
    Forest(3, depth=3, leaves=5, min_samples=2, split_columns=2, smoothing=0.5, bootstrap=False),
    Boosting(3, 0.5, depth=3, leaves=5, min_samples=2, smoothing=0.5, sample=0.5, patience=0),
    Estimator("sklearn.linear_model.Ridge", alpha=2.0),
    Nearest(3, smoothing=0.5),
]
every_model = pytest.mark.parametrize("description", CASES, ids=lambda one: type(one).__name__)


def build(description):
    return build_network(describe_model(description), (3,), 4, trust=False)


def some_trees(model, count=3, depth=4, seed=0):
    """Complete trees with random splits at float64 numbers, and random values."""
    draws, inner, nodes = np.random.default_rng(seed), 2**depth - 1, 2 ** (depth + 1) - 1
    one = np.arange(nodes)
    is_leaf = np.tile(one >= inner, count)
    starts = np.repeat(np.arange(count) * nodes, nodes)
    left = np.where(is_leaf, -1, starts + np.tile(2 * one + 1, count))
    values = draws.dirichlet(np.ones(4), count * nodes)
    return TreeArrays(
        np.where(is_leaf, -1, draws.integers(0, 3, count * nodes)),
        draws.normal(size=count * nodes),
        left,
        np.where(is_leaf, -1, left + 1),
        values,
        np.arange(count) * nodes,
        3,
        combine=model.combine,
        meaning=model.meaning,
    )


def test_every_family_is_listed_with_its_student():
    exported = [getattr(instar.models, name) for name in instar.models.__all__]
    families = {thing for thing in exported if isinstance(thing, type) and issubclass(thing, Fitted)} - {Fitted}
    assert families == {type(description) for description in CASES} == set(STUDENTS)
    assert families <= set(MODELS.values())


@every_model
def test_a_description_round_trips_and_cannot_be_called(description):
    config = describe_model(description)
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config
    assert MODELS[config.name](**config.arguments).arguments == description.arguments
    assert describe_model(build(description)) == config
    with pytest.raises(ConfigError, match="has no layers yet; train it"):
        description(torch.zeros(2, 3))


@every_model
def test_before_it_is_fitted_all_classes_are_equal(description):
    model = build(description)
    logits, features = model.features(torch.rand(5, 3))
    assert (logits.shape, logits.dtype, features) == ((5, 4), torch.float32, {})
    assert torch.equal(logits, logits[:1, :1].expand(5, 4))
    assert not list(model.parameters())


@pytest.mark.parametrize(
    "description", [one for one in CASES if isinstance(one, TreeEnsemble)], ids=lambda one: type(one).__name__
)
class TestTrees:
    def test_rows_go_where_the_arrays_say(self, description):
        model, draws = build(description), np.random.default_rng(1)
        trees = some_trees(model)
        model.take(trees)
        rows = draws.normal(size=(500, 3)).astype(np.float32)
        # numbers next to thresholds, which float32 would take to the other side if they were rounded to the nearest
        splits = np.flatnonzero(trees.features >= 0)
        near = trees.thresholds[splits].astype(np.float32)
        rows[np.arange(len(splits)), trees.features[splits]] = near
        wanted = trees.predict(rows)
        found = model(torch.from_numpy(rows))
        wanted = np.log(wanted) if trees.meaning == "probabilities" else wanted
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)
        assert np.array_equal(model.apply_trees(torch.from_numpy(rows)).numpy(), trees.apply(rows))
        # a batch of any size, and one that is split into blocks
        many = torch.from_numpy(np.tile(rows, (50, 1)))
        assert torch.equal(model(many)[-500:], found)
        assert torch.equal(model(many[:1]), found[:1])

    def test_a_missing_number_makes_logits_nan(self, description):
        model = build(description)
        model.take(some_trees(model))
        logits = model(torch.tensor([[1.0, float("nan"), 0.0], [1.0, 0.0, 0.0]]))
        assert logits.isnan().any(1).tolist() == [True, False]

    def test_a_file_of_any_size_is_loaded_and_one_that_is_no_tree_is_refused(self, description):
        first, second = build(description), build(description)
        first.take(some_trees(first))
        state = first.state_dict()
        second.load_state_dict(state)
        rows = torch.randn(20, 3)
        assert torch.equal(first(rows), second(rows))
        assert first.sizes() == second.sizes()
        for name, place, value, told in (
            ("left", 0, 0, "has a left child that does not come after it"),
            ("compared", 0, 3, "compares a column above the last, 2"),
            ("values", 3, float("nan"), "must be finite numbers"),
            ("right", 1, 10**6, "has a right child above the last node"),
        ):
            broken = {key: tensor.clone() for key, tensor in state.items()}
            broken[name][place] = value
            with pytest.raises(RuntimeError, match=told):
                build(description).load_state_dict(broken)
        cut = {"values": torch.full((93, 2), 0.5, dtype=torch.float64), "base": state["base"][:2]}
        with pytest.raises(RuntimeError, match="the trees have 2 outputs, and the model has 4 classes"):
            build(description).load_state_dict(state | cut)
        with pytest.raises(RuntimeError, match="Missing key"):
            build(description).load_state_dict({})
