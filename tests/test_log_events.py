"""The table of events in the README is what the source says: every event, its levels, its facts, and no other."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from layerwatch.cli.ls import STATUSES
from layerwatch.cli.screen import Screen
from layerwatch.cli.tally import Tally
from layerwatch.daemon import Ended
from layerwatch.logs.limit import LEFT_OUT, WHERE

TOP = Path(__file__).parent.parent
PACKAGE = TOP / "layerwatch"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
DEMO = {"person"}  # what `layerwatch demo` has a person say
NOTICE = ("event", "text", "level", "facts")


@dataclass
class Said:
    """At which levels an event is said, and with which facts."""

    levels: set[str] = field(default_factory=set)
    facts: set[str] = field(default_factory=set)

    def add(self, levels: set[str], facts: set[str]) -> None:
        self.levels |= levels
        self.facts |= facts


@dataclass(frozen=True)
class Teller:
    """A function that makes the notice of an event that its caller names."""

    module: str
    name: str
    parameters: tuple[str, ...]
    levels: set[str]  # where its caller does not say
    facts: set[str]

    def is_called(self, module: str, name: str) -> bool:
        return name == self.name and (module == self.module or not name.startswith("_"))


@dataclass(frozen=True)
class Call:
    """One call, within the function that makes it."""

    module: str
    node: ast.Call
    function: ast.FunctionDef

    @property
    def name(self) -> str:
        return getattr(self.node.func, "attr", getattr(self.node.func, "id", ""))

    def argument(self, name: str, order: tuple[str, ...]) -> ast.expr | None:
        by_name = {each.arg: each.value for each in self.node.keywords}
        at = order.index(name) if name in order else len(self.node.args)
        return by_name.get(name) or (self.node.args[at] if at < len(self.node.args) else None)

    def is_parameter(self, expression: ast.expr | None) -> bool:
        return isinstance(expression, ast.Name) and expression.id in _parameters(self.function)

    def meant(self, expression: ast.expr | None) -> Iterator[ast.expr]:
        """What an expression may stand for: all that is assigned to a local name in this function."""
        values = _assigned(self.function, expression.id) if isinstance(expression, ast.Name) else []
        if values:
            for value in values:
                yield from self.meant(value)
        elif isinstance(expression, ast.IfExp):
            yield from self.meant(expression.body)
            yield from self.meant(expression.orelse)
        elif expression is not None:
            yield expression

    def texts(self, expression: ast.expr | None) -> set[str]:
        found = {each.value for each in self.meant(expression) if isinstance(each, ast.Constant)}
        return {each for each in found if isinstance(each, str)}

    def levels(self, expression: ast.expr | None) -> set[str]:
        nodes = (node for each in self.meant(expression) for node in ast.walk(each))
        return {getattr(node, "attr", getattr(node, "id", "")) for node in nodes} & set(LEVELS)

    def keywords(self) -> set[str]:
        """The names of its keyword arguments, those in a dictionary that is spread out included."""
        named = {each.arg for each in self.node.keywords if each.arg}
        return named.union(*(self.facts(each.value) for each in self.node.keywords if not each.arg))

    def facts(self, expression: ast.expr | None) -> set[str]:
        found: set[str] = set()
        names = _assigned(self.function, expression.id) if isinstance(expression, ast.Name) else [expression]
        for each in (node for name in names if name for node in ast.walk(name)):
            if isinstance(each, ast.Dict):
                found = found.union(*map(self.texts, each.keys))
        return found


def _parameters(function: ast.FunctionDef) -> tuple[str, ...]:
    return tuple(each.arg for each in (*function.args.args, *function.args.kwonlyargs) if each.arg != "self")


def _assigned(function: ast.FunctionDef, name: str) -> list[ast.expr]:
    found: list[ast.expr] = []
    for node in ast.walk(function):
        if isinstance(node, ast.AugAssign | ast.AnnAssign) and getattr(node.target, "id", "") == name and node.value:
            found.append(node.value)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                found += _parts(target, node.value, name)
    return found


def _parts(target: ast.expr, value: ast.expr, name: str) -> list[ast.expr]:
    """What of this value is assigned to the name, where several are assigned at once."""
    if isinstance(value, ast.IfExp):
        return _parts(target, value.body, name) + _parts(target, value.orelse, name)
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = zip(target.elts, value.elts, strict=True)
        return [each for named, each in pairs if getattr(named, "id", "") == name]
    return [value] if getattr(target, "id", "") == name else []


def _calls() -> Iterator[Call]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Call):
                        yield Call(str(path.relative_to(PACKAGE)), node, function)


@cache
def events() -> dict[str, Said]:
    """All that the package can say, as its source tells."""
    calls, said = list(_calls()), defaultdict[str, Said](Said)
    tellers: list[Teller] = []
    for call in calls:
        if call.name != "Notice":
            continue
        event, level, facts = (call.argument(name, NOTICE) for name in ("event", "level", "facts"))
        keys = call.facts(facts)
        if call.is_parameter(event):
            known = call.levels(level) if level is not None and not call.is_parameter(level) else set()
            tellers.append(Teller(call.module, call.function.name, _parameters(call.function), known, keys))
            continue
        names = call.texts(event)
        assert names, f"{call.module}:{call.node.lineno}: which event this is cannot be told from the source"
        for name in names:
            said[name].add(call.levels(level) or {"INFO"}, keys)
    for teller in tellers:
        for call in (each for each in calls if teller.is_called(each.module, each.name)):
            level = call.argument("level", teller.parameters)
            extra = call.keywords() - set(teller.parameters)
            for name in call.texts(call.argument("event", teller.parameters)):
                said[name].add(call.levels(level) or teller.levels or {"INFO"}, teller.facts | extra)
    return dict(said)


def table() -> dict[str, tuple[set[str], set[str]]]:
    """The levels and facts of each event, as the README has them."""
    text = (TOP / "README.md").read_text()
    section = re.split(r"^##", text[text.index("### Logs") + 3 :], flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \| ([^|]*)\|$", section, re.MULTILINE)
    return {
        event: ({level.upper() for level in levels.split(", ")}, set(re.findall(r"`(\w+)`", facts)))
        for event, levels, facts in rows
    }


def test_the_table_has_exactly_the_events_that_exist() -> None:
    assert sorted(table()) == sorted(events().keys() - DEMO | {LEFT_OUT})


def test_their_levels_are_as_the_source_says() -> None:
    levels = {event: said.levels for event, said in events().items() if event not in DEMO}
    assert {event: row[0] for event, row in table().items() if event in levels} == levels


def test_their_facts_are_as_the_source_says() -> None:
    facts = {event: said.facts for event, said in events().items() if event not in DEMO}
    facts["ended"] = set(Screen(Tally()).tally(Ended("", 0, 0)))
    assert {event: row[1] for event, row in table().items() if event in facts} == facts


def test_each_line_on_what_was_left_out_points_at_a_command_that_there_is() -> None:
    assert WHERE.keys() <= events().keys()
    named = {word for command in WHERE.values() for word in re.findall(r"--status (\w+)", command)}
    assert named
    assert named <= set(STATUSES)
