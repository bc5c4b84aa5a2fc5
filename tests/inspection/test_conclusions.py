"""Sentences about what a comparison shows, and what it leaves open."""

import pytest

from instar.analysis.comparison import Difference
from instar.inspection.conclusions import Comparison, Quantity


def difference(mean, low, high, **corrected):
    return Difference(mean, low, high, 9, 2, corrected, corrected)


BETTER, UNSURE = difference(-1, -2, -0.5, mcnemar=0.01), difference(-1, -2, 2, mcnemar=0.2)
SETTLED, OPEN = difference(-1, -2, -0.5, t=0.01, sign=0.25), difference(-1, -2, 0.5, t=0.1, sign=0.25)


@pytest.mark.parametrize(
    ("over_samples", "over", "seeds", "runs", "words"),
    [
        (
            BETTER,
            None,
            (0,),
            (1, 1),
            "B makes fewer errors than A on these 600 samples with these weights: 1.00 points ",
        ),
        (BETTER, None, (0,), (1, 1), "1.00 points fewer (95%: 0.50 to 2.00 fewer); p 0.0100."),
        (BETTER, None, (0,), (1, 1), "there is only one seed. Train both with more seeds."),
        (difference(1, 0.5, 2, mcnemar=0.01), None, (), (1, 1), "B makes more errors than A"),
        (
            UNSURE,
            None,
            (),
            (1, 1),
            "the difference of B and A is not significant, which does not show that they are equally good",
        ),
        (Difference(0, 0, 0, 0, 0, {}, {"mcnemar": 1.0}), None, (), (1, 1), "there is no difference"),
        (UNSURE, None, (), (2, 3), "they have no seed in common"),
        (
            UNSURE,
            SETTLED,
            (0, 1, 2),
            (3, 3),
            "On average, new runs of B make fewer errors than new runs of A",
        ),
        (
            UNSURE,
            OPEN,
            (0, 1, 2),
            (3, 3),
            "fewer errors than new runs of A: over 3 paired seeds, 1.00 points fewer (95%: 2.00 fewer to 0.50 more)",
        ),
        (UNSURE, OPEN, (0, 1, 2), (3, 3), "Detecting this difference with 80% power at 5% takes 7 seeds."),
        (UNSURE, difference(-1, -1, -1, sign=0.25), (0, 1, 2), (3, 3), "the same difference, which gives no interval"),
    ],
)
def test_conclusions_say_what_is_known_and_what_is_not(over_samples, over, seeds, runs, words):
    quantity = Quantity(5.0, 4.0, over_samples, over, 7)
    found = Comparison("b", runs, seeds, ((), (8, 9)), quantity, None).conclusions("B", "A", 600)
    assert words in " ".join(found)
    assert found[-1] == "The NLL is left out, because it is infinite for at least one sample."
    assert "Only B has runs of seeds 8, 9; these runs are left out." in found
