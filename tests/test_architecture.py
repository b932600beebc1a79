"""How the repository is built: who imports whom, what `run` loads, what is documented."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
CHAPTERS = ["ch02_namespaces", "ch03_run", "ch04_images", "ch05_lifecycle", "ch06_network", "ch07_practice", "final"]
HEAVY = {
    *("argparse", "re", "enum", "signal", "typing", "dataclasses", "rich", "pyroute2", "asyncio", "subprocess"),
    *("json", "inspect", "logging", "socket", "threading", "tempfile", "shutil", "pathlib", "mfusepy", "random"),
}
STAGES = {"prepare", "attach", "enter", "cleanup"}

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def modules() -> list[Path]:
    return [path for chapter in CHAPTERS for path in sorted((REPOSITORY / chapter).rglob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def chapter_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).parts[0]


def imported(tree: ast.Module) -> Iterator[str]:
    """All modules that a module names in imports, also those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            yield node.module or ""


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_chapter_imports_from_lower_chapters_only(path: Path) -> None:
    own = CHAPTERS.index(chapter_of(path))
    for name in imported(ast.parse(path.read_text())):
        root = name.split(".")[0]
        assert root not in CHAPTERS[own + 1 :], f"{name_of(path)} imports {name}"
        assert root != "tests"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_module_has_something_of_its_own(path: Path) -> None:
    """None exists only to re-export another."""
    body = ast.parse(path.read_text()).body
    kinds = {type(node) for node in body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))}
    assert not kinds or kinds - {ast.Import, ast.ImportFrom}, f"{name_of(path)} only imports"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_names_are_imported_from_where_they_are_defined(path: Path) -> None:
    """`from ch02_namespaces.limits import X` finds X defined there, not imported there from elsewhere."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] not in CHAPTERS:
            continue
        source = REPOSITORY / Path(*(node.module or "").split("."))
        for alias in node.names:
            if source.is_dir():
                assert (source / alias.name).is_dir() or (source / f"{alias.name}.py").exists()
            else:
                assert alias.name in defined(source.with_suffix(".py")), f"{alias.name} is not {node.module}'s own"


def defined(path: Path) -> set[str]:
    """The names that a module's top level defines itself, also in an `if`."""
    found: set[str] = set()
    body = ast.parse(path.read_text()).body
    for node in [*body, *(inner for outer in body if isinstance(outer, ast.If) for inner in outer.body)]:
        if isinstance(node, Definition):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_what_is_public_is_documented(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if path.name not in ("__init__.py", "__main__.py"):
        assert ast.get_docstring(tree), f"{name_of(path)} itself"
    missing = [name for name, node in public(tree, "") if not ast.get_docstring(node)]
    assert not missing, f"{name_of(path)}: {', '.join(missing)}"


def public(node: ast.AST, prefix: str) -> Iterator[tuple[str, Definition]]:
    """Public functions and classes of a module, and public methods of its public classes.

    Without the overrides of Part's stages: Part documents those. Without overrides of FUSE operations: libfuse does.
    """
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Definition) or child.name.startswith("_"):
            continue
        bases = [ast.unparse(base) for base in child.bases] if isinstance(child, ast.ClassDef) else []
        if not (child.name in STAGES and prefix):
            yield prefix + child.name, child
        if isinstance(child, ast.ClassDef) and not any("Operations" in base for base in bases):
            yield from public(child, f"{child.name}.")


@pytest.mark.parametrize("increment", [name for name in CHAPTERS[1:] if (REPOSITORY / name / "cli.py").exists()])
def test_run_loads_no_heavy_module(increment: str) -> None:
    """Each import makes every start slower: 2 ms here, 40 there."""
    script = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import {increment}.cli; print(*sys.modules, sep='\\n')"
    )
    listed = subprocess.run(
        [sys.executable, "-IS", "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert not HEAVY & set(listed.stdout.split())


def engine_modules() -> list[Path]:
    return [path for path in modules() if chapter_of(path) == "final" and not path.name.startswith("__")]


@pytest.mark.parametrize("path", engine_modules(), ids=name_of)
def test_module_of_the_engine_stands_in_the_table_of_a_page(path: Path) -> None:
    """A reader finds the file by the idea: in the README beside it, or in the one above."""
    page = next(place / "README.md" for place in path.parents if (place / "README.md").exists())
    assert f"({path.relative_to(page.parent)})" in page.read_text(), f"{name_of(path)} is missing in {name_of(page)}"


def test_top_level_has_the_agreed_names_only() -> None:
    listed = subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files"], capture_output=True, text=True, timeout=60, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    names = {line.split("/")[0] for line in listed.stdout.splitlines()}
    allowed = {*CHAPTERS, "tests", "Vagrantfile", "Makefile", "README.md", "pyproject.toml", "LICENSE"}
    assert {name for name in names if not name.startswith(".")} <= allowed
