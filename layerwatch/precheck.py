"""The rules against what Layer says of its models and workflows: a mistake shows before the first file is paid for."""

from collections.abc import Iterator
from dataclasses import dataclass

from layerwatch.api import Layer
from layerwatch.config import Folder, Kind, Rule
from layerwatch.errors import Problem
from layerwatch.schemas import SchemaProblem, problems_with_model, problems_with_workflow


@dataclass(frozen=True, slots=True)
class Found:
    """What is wrong with one rule; a warning may be all right."""

    problem: Problem
    is_warning: bool


def check_rules(layer: Layer, folders: tuple[Folder, ...], config: str) -> Iterator[Found]:
    """Everything that Layer would refuse, of all rules. Raises `JobError` when Layer cannot be asked."""
    known: dict[tuple[Kind, str], dict[str, object] | None] = {}
    for folder in folders:
        for rule in folder.rules:
            about = rule.kind, rule.target_id
            if about not in known:
                ask = layer.model if rule.kind is Kind.INFERENCE else layer.workflow
                known[about] = ask(rule.target_id)
            where = f"{config}: folder {folder.name}, rule {rule.name}"
            for found in _problems(rule, known[about]):
                problem = Problem(f"{where}: {found.key}", found.reason, found.fix)
                yield Found(problem, found.severity == "warning")


def _problems(rule: Rule, about: dict[str, object] | None) -> list[SchemaProblem]:
    if rule.kind is Kind.INFERENCE:
        return [_unknown("model_id", "model")] if about is None else problems_with_model(rule, about)
    return [_unknown("workflow_id", "workflow")] if about is None else problems_with_workflow(rule, about)


def _unknown(key: str, what: str) -> SchemaProblem:
    # A warning: what Layer lists, and for whom, is its own affair, and firing with a wrong id costs nothing.
    return SchemaProblem(
        "warning", key, f"Layer knows no such {what} in this workspace", f"copy the {what}'s id from Layer"
    )
