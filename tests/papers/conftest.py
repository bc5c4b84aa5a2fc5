"""What tests of tables share."""

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def rows(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows of the table in a test module's own `folder`, by name and quantity."""
    return {(row["row"], row["quantity"]): row for row in json.loads((folder / "table.json").read_text())}
