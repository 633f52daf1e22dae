"""What the linter of imports cannot see: who imports from the root of the package."""

import ast

import petsage
from tests.support import ROOT


def test_nothing_below_create_app_imports_it_nor_what_stands_beside_it():
    above = {"serving", "builder"}
    for path in (ROOT / "petsage").rglob("*.py"):
        room = path.relative_to(ROOT / "petsage").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "petsage" and room not in above:
                taken = {alias.name for alias in node.names}
                assert not taken & set(petsage.__all__), path
