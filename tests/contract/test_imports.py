"""How modules import each other: in no circle, and through no list of names but their own folder's."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import instar

ROOT = Path(instar.__file__).parent
LISTS = sorted(ROOT.glob("**/*/__init__.py"))
LONGEST_CHAIN_MODULES = 30


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in ROOT.glob("**/*.py")}


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the module of the package that each import names, and the name that is taken from it or nothing."""
    for found in ast.walk(ast.parse(path.read_text())):
        if isinstance(found, ast.ImportFrom):
            for alias in found.names:
                inside = f"{found.module}.{alias.name}"
                yield (inside, "") if inside in MODULES else (str(found.module), alias.name)
        elif isinstance(found, ast.Import):
            yield from ((alias.name, "") for alias in found.names)


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    return {name: {one for one, _ in imported(path) if one in MODULES} for name, path in MODULES.items()}


def chain_from(module: str, imports: dict[str, set[str]], known: dict[str, int], outer: tuple[str, ...] = ()) -> int:
    """Return the number of modules on the longest chain of imports from a module on."""
    assert module not in outer, f"a circle of imports: {' > '.join((*outer, module))}"
    if module not in known:
        lengths = [chain_from(one, imports, known, (*outer, module)) for one in imports[module]]
        known[module] = 1 + max(lengths, default=0)
    return known[module]


def test_no_modules_import_each_other_and_chains_are_short(imports: dict[str, set[str]]) -> None:
    known: dict[str, int] = {}
    for module in imports:
        chain_from(module, imports, known)
    assert max(known.values()) <= LONGEST_CHAIN_MODULES


@pytest.mark.parametrize("path", LISTS, ids=[path.parent.name for path in LISTS])
def test_a_folder_is_a_list_of_names(path: Path) -> None:
    docstring, *statements = ast.parse(path.read_text()).body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)
    names = [alias.asname or alias.name for one in statements[:-1] for alias in one.names]  # all of them are imports
    if statements:
        assert isinstance(statements[-1], ast.Assign)
        assert ast.unparse(statements[-1].targets[0]) == "__all__"
        assert sorted(ast.literal_eval(statements[-1].value)) == sorted(names)


def test_inside_the_package_names_are_imported_from_where_they_are_defined() -> None:
    lists = {name_of(path) for path in LISTS}
    inside = [path for path in MODULES.values() if path.name != "__init__.py"]
    found = {str(path): [f"{one}.{name}" for one, name in imported(path) if one in lists and name] for path in inside}
    assert {path: names for path, names in found.items() if names} == {}
