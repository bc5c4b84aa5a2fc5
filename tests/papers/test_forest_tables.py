"""Tables of born-again trees at the smallest scale: they are whole, and a second call reads what the first measured."""

import json

import pytest
from tests.trees.test_arrays import drawn_forest

from instar.errors import InstarError
from instar.papers import breiman1996, run_paper, vidal2020
from instar.trees import make_born_again_tree


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


def read(folder):
    return {(row["row"], row["quantity"]): row for row in json.loads((folder / "table.json").read_text())}


def test_the_table_of_smallest_trees_has_every_column_and_its_order(folder):
    out = folder / "vidal"
    table = run_paper("vidal2020-born-again-trees", out=out)
    rows = read(out)
    means = {key: row["mean"] for key, row in rows.items()}
    assert len(rows) == len(vidal2020.COLUMNS) + 1
    assert means["wine: D", "depth"] <= means["wine: L", "depth"]
    assert means["wine: L", "leaves"] <= min(means["wine: D", "leaves"], means["wine: H", "leaves"])
    assert means["wine: D pruned", "leaves"] <= means["wine: D", "leaves"]
    assert rows["wine: L", "leaves"]["published"] == 214.6
    assert "L has fewer leaves than D" in table.findings
    (out / "runs" / "wine" / "0.json").write_text("{}")  # is read again, and is no measurement
    with pytest.raises(InstarError, match=r"0\.json|checksum"):
        run_paper("vidal2020-born-again-trees", out=out)


@pytest.mark.parametrize("scale", vidal2020.SCALES.values(), ids=vidal2020.SCALES)
def test_every_scale_gives_a_limit_that_the_search_takes(scale):
    assert make_born_again_tree(drawn_forest(0, depth=0), max_boxes=scale.max_boxes).leaf_count == 1


def test_the_table_of_grown_trees_has_every_arm(folder):
    out = folder / "breiman"
    first = run_paper("breiman1996-born-again-trees", out=out).as_list()
    assert run_paper("breiman1996-born-again-trees", out=out).as_list() == first
    rows = read(out)
    for title in breiman1996.ARMS.values():
        assert 0 <= rows[f"wine: {title}", "error"]["mean"] < 50
    assert rows["wine: ensemble", "leaves"]["mean"] > 10 * rows["wine: born again, smearing 0.5", "leaves"]["mean"] > 20
