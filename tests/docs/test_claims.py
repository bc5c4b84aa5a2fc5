"""Numbers and verdicts of docs/results.md are those of the tables. Remake them with INSTAR_REMAKE_DOCS=1."""

import os
import re

import pytest
from tests.docs import claims_page
from tests.docs.claims_page import Claim, read_claims, replace_claims, replace_quote, write_interval, write_summary
from tests.docs.pages import ROOT, read, section

REPLACE = {"docs/results.md": replace_claims, "README.md": replace_quote}


@pytest.mark.parametrize("page", REPLACE)
def test_a_page_says_what_the_tables_say(page):
    made = REPLACE[page](read(page), read_claims())
    if os.environ.get("INSTAR_REMAKE_DOCS"):
        (ROOT / page).write_text(made, encoding="utf-8")
    assert read(page) == made


def test_every_paper_with_a_table_has_claims_and_every_claim_says_what_separates_it():
    claims = read_claims()
    # of a paper with several scales, the largest has the claims
    papers = {path.parts[-3] for path in (ROOT / "results").glob("*/*/table.json")}
    judged = {table.split("/")[0] for claim in claims for table in claim.tables}
    assert papers <= judged
    assert [name for name in judged if f'"{name}": ' not in read("src/instar/papers/catalogue.py")] == []
    assert [claim.claim for claim in claims if claim.is_measured and not claim.because] == []
    assert len({(claim.title, claim.claim) for claim in claims}) == len(claims)


def test_the_readme_has_no_other_numbers_of_results():
    rest = section("README.md", "Results").replace(write_summary(read_claims()), "")
    assert re.findall(r"\d", rest) == []


ROWS = {
    "labels": ([10.0, 11.0, 12.0], 9.0),
    "good": ([8.0, 9.1, 9.9], 6.0),
    "loose": ([8.0, 13.0, 12.0], 6.0),
    "ensemble": ([6.0, 7.1, 7.9], 5.0),
    "one": ([4.0], 5.0),
}


@pytest.mark.parametrize(
    ("settings", "verdict", "published", "mean"),
    [
        ({"ours": "good", "than": "labels"}, "held", 3.0, 2.0),
        ({"ours": "labels", "than": "good"}, "not held", -3.0, -2.0),
        ({"ours": "loose", "than": "labels"}, "not settled", 3.0, 0.0),
        ({"ours": "good", "than": "labels", "better": "higher"}, "not held", -3.0, -2.0),
        ({"ours": "good", "than": "labels", "reach": True}, "not held", 3.0, 2.0),
        ({"ours": "good", "than": "labels", "reach": True, "published": 1.5}, "held", 1.5, 2.0),
        ({"ours": "good", "than": "labels", "within": 3}, "held", 3.0, 2.0),
        ({"ours": "good", "than": "labels", "within": 1}, "not held", 3.0, 2.0),
        ({"ours": ["good", "labels"], "than": "labels"}, "held", 1.5, 1.0),
        ({"ours": "good", "published": 20.0}, "held", 20.0, 9.0),
        ({"ours": "good", "published": 8.0}, "not settled", 8.0, 9.0),
        ({"ours": "good", "published": 5.0, "better": "higher"}, "held", 5.0, 9.0),
        ({"ours": "good", "published": 2.0}, "not held", 2.0, 9.0),
        ({"ours": "one", "published": 20.0}, "not settled", 20.0, 4.0),
        ({"ours": "good", "keeps": ["labels", "ensemble"], "published": 45}, "held", 45, 50.0),
        ({"ours": "good", "keeps": ["labels", "ensemble"], "published": 86}, "not held", 86, 50.0),
    ],
)
def test_a_verdict_compares_the_whole_interval_with_the_claim(monkeypatch, settings, verdict, published, mean):
    rows = {(name, "errors"): {"seeds": seeds, "published": theirs} for name, (seeds, theirs) in ROWS.items()}
    monkeypatch.setattr(claims_page, "read_rows", lambda table: rows)
    claim = Claim(
        "paper", "claim", **{"table": "hinton2015-mnist/paper", "quantity": "errors", "better": "lower"} | settings
    )
    assert (claim.verdict(), claim.theirs()) == (verdict, pytest.approx(published))
    assert claim.effect()[0] == pytest.approx(mean)


def test_seeds_of_several_tables_are_one_sample(monkeypatch):
    seeds = {"a": {"good": [8.0, 9.1], "labels": [10.0, 11.0]}, "b": {"good": [9.9], "labels": [12.0]}}
    tables = {
        table: {(name, "errors"): {"seeds": found, "published": None} for name, found in rows.items()}
        for table, rows in seeds.items()
    }
    monkeypatch.setattr(claims_page, "read_rows", tables.get)
    monkeypatch.setattr(claims_page, "find_table", lambda table: ROOT)
    pooled = Claim("paper", "c", "b", ("a", "b"), "errors", "lower", "errors", ours="good", than="labels")
    assert pooled.seeds("good") == ROWS["good"][0]
    assert (pooled.verdict(), pooled.effect()[0]) == ("held", pytest.approx(2.0))
    assert pooled.row().endswith("| b | [a](../results/a/table.md), [b](../results/b/table.md) |")


def test_a_number_has_the_digits_of_its_interval_and_no_negative_zero():
    assert write_interval(1.9033, 0.8187, 2.988, " points") == "1.9 points (0.8 to 3.0)"
    assert write_interval(96.33, 80.1, 112.6, " errors") == "96 errors (80 to 113)"
    assert write_interval(-0.0033, -0.613, 0.606, "%") == "0.00% (-0.61 to 0.61)"
    assert write_interval(57, None, None, " errors") == "57 errors, one seed"
