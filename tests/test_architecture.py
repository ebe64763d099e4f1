"""What each room must not touch: the quarantines that keep the rest testable."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "layerwatch"
SANDBOX = {"sandbox"}

# Who alone may import these; the sandbox is a program of its own.
QUARANTINE = {
    "httpx": {"api"},
    "httpcore": {"api"},
    "h11": {"api"},
    "watchdog": {"watch"},
    # `push` is called by hooks, thousands of times: the ledger's room would cost it many times what it does there.
    "sqlite3": {"ledger", "push"},
    "sqlite_utils": {"ledger"},
    "pydantic": {"config"},
    "pydantic_settings": {"config"},
    "signal": {"daemon", "cli", "points"} | SANDBOX,
    "threading": {"daemon", "cli"} | SANDBOX,
    "rich": {"cli"},
    "click": {"cli"},
    "jinja2": {"web"},
    "prometheus_client": {"web"},
    "http": {"web"} | SANDBOX,
}
CLOCK = {("time", "time"), ("time", "monotonic"), ("time", "perf_counter"), ("datetime", "now"), ("time", "sleep")}
READS_THE_CLOCK = {"daemon", "cli"} | SANDBOX


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_its_room_imports_a_quarantined_library(path: Path) -> None:
    found = imported(ast.parse(path.read_text()))
    assert [name for name in found & QUARANTINE.keys() if room(path) not in QUARANTINE[name]] == []


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_clock_is_read_only_at_the_top(path: Path) -> None:
    if room(path) in READS_THE_CLOCK:
        return
    read = {
        (node.value.id, node.attr)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert read & CLOCK == set()


def test_the_quarantines_are_about_libraries_that_are_used() -> None:
    everything = set().union(*(imported(ast.parse(path.read_text())) for path in sources()))
    assert QUARANTINE.keys() - everything == set()
