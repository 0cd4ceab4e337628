"""The source tree keeps its structure: unique names, and short functions."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path
from statistics import median

PACKAGE = Path(__file__).parents[2] / "src/stoker"
COMMANDS = PACKAGE / "cli/commands"
MAX_LINES = 60
MAX_MEDIAN_LINES = 10
Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@cache
def modules() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def definitions() -> list[tuple[str, Definition]]:
    """Every class and function of the source tree, with the module that it is in."""
    return [
        (path.relative_to(PACKAGE).as_posix(), node)
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, Definition)
    ]


def lines_of(module: str, function: Function) -> int:
    """The lines of a function. A command's signature lists its options and does not count."""
    is_command = (PACKAGE / module).parent == COMMANDS and function.name == "command"
    first = function.body[0].lineno if is_command else function.lineno
    return (function.end_lineno or first) - first + 1


@cache
def lengths() -> dict[str, int]:
    """The lines of every function of the source tree, by its module, name and first line."""
    return {
        f"{module}: {node.name} (line {node.lineno})": lines_of(module, node)
        for module, node in definitions()
        if isinstance(node, Function)
    }


def repeated(places: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Each name that is used more than once, with the places that use it."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for name, place in places:
        by_name[name].append(place)
    return {name: used for name, used in by_name.items() if len(used) > 1}


def exported_functions(package: Path) -> set[str]:
    """The names in the package's ``__all__`` that a module of it defines as a function."""
    (exported,) = [
        ast.literal_eval(node.value)
        for node in modules()[package / "__init__.py"].body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ] or [[]]
    inside = [tree for path, tree in modules().items() if package in path.parents]
    defined = {node.name for tree in inside for node in tree.body if isinstance(node, Function)}
    return defined & set(exported)


def test_no_two_modules_have_the_same_file_name() -> None:
    files = [(path.name, str(path)) for path in modules() if path.name != "__init__.py"]
    assert repeated(files) == {}


def test_no_two_classes_have_the_same_name() -> None:
    classes = [
        (node.name, module) for module, node in definitions() if isinstance(node, ast.ClassDef)
    ]
    assert repeated(classes) == {}


def test_no_function_is_longer_than_sixty_lines() -> None:
    long = {name.partition(" (")[0] for name, lines in lengths().items() if lines > MAX_LINES}
    assert long == set()


def test_half_of_the_functions_are_shorter_than_ten_lines() -> None:
    assert median(lengths().values()) < MAX_MEDIAN_LINES


def test_no_module_has_the_name_of_a_function_that_its_package_exports() -> None:
    """``from package import name`` would give either, by what was imported before."""
    packages = [path.parent for path in modules() if path.name == "__init__.py"]
    hidden = {
        f"{package.relative_to(PACKAGE)}: {name}"
        for package in packages
        for name in exported_functions(package)
        if (package / f"{name}.py").exists() or (package / name).is_dir()
    }
    assert hidden == set()


def test_no_unit_test_installs_vllm() -> None:
    """It takes minutes and gigabytes; a plan without a folder does it too."""
    for test in Path(__file__).parent.rglob("test_*.py"):
        if test != Path(__file__):
            text = test.read_text("utf-8")
            assert "vllm_cpu.plan()" not in text, test
            assert "vllm_cpu.installed" not in text, test
