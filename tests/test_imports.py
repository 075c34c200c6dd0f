"""Imports inside the package go one way, and its pure core imports neither asyncio nor livekit."""

from __future__ import annotations

import ast
from pathlib import Path

import vision_agent

ROOT = Path(vision_agent.__file__).parent
WAY = ("imaging", "record", "sources", "views", "turns")
"""The picture's way: a package uses those before it, none behind it."""
BEHIND = ("agent", "decoding", "hearing", "models", "realtime", "tools", "uploads")
PURE = (
    *("demand", "errors", "options", "redaction"),
    *("decoding/messages", "record/ledger", "record/sighting", "record/statistics"),
    *("turns/budget", "turns/lines"),
    *(
        "views/choice",
        "views/counts",
        "views/filters",
        "views/lens",
        "views/level",
        "views/reach",
        "views/sampler",
    ),
    *(f"imaging/{name}" for name in ("crop", "draw", "files", "frame", "jpeg", "pixels", "scale")),
)


def imports_of(path: Path) -> set[str]:
    """Every module that is imported, at the top or inside a function, with absolute names."""
    package = ["vision_agent", *path.relative_to(ROOT).parts[:-1]]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            found |= {stem, *(f"{stem}.{alias.name}" for alias in node.names)}
    return found


def name_of(path: Path) -> str:
    parts = [*path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(["vision_agent", *(parts[:-1] if parts[-1] == "__init__" else parts)])


def test_no_module_imports_one_that_needs_it() -> None:
    modules = {name_of(path): path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"}
    needs = {name: imports_of(path) & set(modules) - {name} for name, path in modules.items()}
    for name in needs:  # a package's __init__ may use its own modules; they may not use it
        needs[name] = {other for other in needs[name] if not name.startswith(f"{other}.") or is_used(name)}
    done: set[str] = set()
    while len(done) < len(needs):
        ready = {name for name, needed in needs.items() if name not in done and needed <= done}
        assert ready, f"imports go in a circle among {sorted(set(needs) - done)}"
        done |= ready


def is_used(module: str) -> bool:
    """Whether a module imports a name from its own package's ``__init__``, not only a sibling."""
    path = ROOT / Path(*module.split(".")[1:]).with_suffix(".py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module is None:
            siblings = {child.stem for child in path.parent.glob("*.py")}
            if any(alias.name not in siblings for alias in node.names):
                return True
    return False


def test_the_packages_follow_the_way_of_a_picture() -> None:
    for path in ROOT.rglob("*.py"):
        package = path.relative_to(ROOT).parts[0]
        if package in WAY:
            used = {name.split(".")[1] for name in imports_of(path) if name.startswith("vision_agent.")}
            behind = {*WAY[WAY.index(package) + 1 :], *BEHIND}
            assert not used & behind, f"{path} imports {used & behind}"


def test_the_core_is_pure() -> None:
    for name in PURE:
        for imported in imports_of(ROOT / f"{name}.py"):
            top = imported.partition(".")[0]
            assert top not in ("asyncio", "livekit", "threading"), f"{name} imports {imported}"


def test_only_config_reads_the_environment() -> None:
    for path in ROOT.rglob("*.py"):
        reads = any(
            isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
        assert not reads or path.name == "config.py", path


def test_modules_are_small() -> None:
    for path in ROOT.rglob("*.py"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 310, f"{path} has {lines} lines"
