"""From uploaded files to generations: shows each upload to the rules of its folder, and writes down what they make of
it. Pays for nothing, sends nothing.

One thread alone plans. What it decides about a file, and that the rules have seen it, is one commit, so that no crash
forgets a generation or plans it twice.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from layerwatch import points, rules, source
from layerwatch.config import Folder, Rule
from layerwatch.config.roles import INPUT, PARAMETERS, PROMPT
from layerwatch.errors import JobError
from layerwatch.ledger import GenerationRow, Input, Ledger, Missing, Plan, Planned
from layerwatch.notices import Notice, Tell, name_text
from layerwatch.rules import Fit, Need, RuleError
from layerwatch.states import Turn

BATCH = 50
SIDECAR_MOST_BYTES = 1024 * 1024
_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Planner:
    """The rules of all folders. `root` tells a folder's real path, `wall` is the clock, in unix seconds."""

    ledger: Ledger
    folders: Mapping[str, Folder]
    root: Callable[[str], str]
    wall: Callable[[], float]
    tell: Tell

    def step(self) -> bool:
        """Plan for a batch of uploads, and look after what has waited for too long. False when there was nothing."""
        seen = self.ledger.planning.pending(list(self.folders), BATCH)
        for upload in seen:
            planned = self.ledger.planning.plan(upload, list(self.plans(upload)), self.wall())
            points.passed("planned")
            for each in planned:
                self._tell(upload, each)
        overdue = self.ledger.planning.overdue(self.wall())
        for id_, rule, trigger in overdue:
            self._overdue(id_, rule, trigger)
        if released := self.ledger.firing.release(self.wall()):
            self.tell(Notice("released", f"{released} generations that were held back may go on"))
        return bool(seen or overdue or released)

    def plans(self, upload: Input) -> Iterator[Plan]:
        """What the rules make of this upload: as what they match, and as what others wait for."""
        folder, relative = self.folders[upload.folder], self._relative(upload)
        if relative is None:
            return
        for rule in folder.rules:
            if fits := rules.fit(rule, folder.name, relative):
                yield self.plan(rule, fits, upload)
            if rules.may_fill(rule, relative):
                yield from self._as_companion(rule, folder.name, relative, upload.path)

    def plan(self, rule: Rule, fit: Fit, trigger: Input, *, in_vain: bool = False) -> Plan:
        """The generation of this rule for this file as it is now. `in_vain`: what may be missing is not waited for."""
        companions: dict[str, Input] = {}
        sidecars: dict[str, str] = {}
        missing: list[Missing] = []
        for need in rules.needs(rule, fit):
            if need.sidecar and (text := self._sidecar(trigger.folder, need)) is not None:
                sidecars[need.role] = text
            elif not need.sidecar and (found := self._find(trigger.folder, need)):
                companions[need.role] = found
            else:
                missing.append(Missing(need.role, need.glob, need.key, need.optional))
        if not any(each.role == PARAMETERS for each in missing):
            missing += _unusable(rule, fit, trigger, companions, sidecars)
        if in_vain:
            missing = [each for each in missing if not each.optional]
        return Plan(
            rule=rule.name,
            kind=rule.kind,
            target=rule.target_id,
            trigger=trigger,
            companions=companions,
            sidecars=sidecars,
            missing=tuple(missing),
            wait_s=rule.wait,
            fires_again_on=tuple(sidecars) if rule.again_on_sidecar else (),
        )

    # --- what there is ------------------------------------------------------------------------------------------------

    def _relative(self, of: Input | GenerationRow) -> str | None:
        if isinstance(of, Input) and of.outside:
            return os.path.basename(of.path)
        root = self.root(of.folder).rstrip("/")
        relative = of.path.removeprefix(f"{root}/")
        return None if relative == of.path else relative  # None: the folder is somewhere else now

    def _as_companion(self, rule: Rule, folder: str, relative: str, path: str) -> Iterator[Plan]:
        """For the files that wait for this one, or used an earlier version of it."""
        planning = self.ledger.planning
        triggers = {
            each.id: each
            for each in (
                *planning.triggers_missing(folder, rule.name, rules.key_of(relative)),
                *planning.triggers_using(folder, rule.name, path),
            )
        }
        for trigger in triggers.values():
            theirs = self._relative(trigger)
            fits = rules.fit(rule, folder, theirs) if theirs else None
            if fits and any(need.pattern.fullmatch(relative) for need in rules.needs(rule, fits)):
                yield self.plan(rule, fits, trigger)

    def _find(self, folder: str, need: Need) -> Input | None:
        planning, root = self.ledger.planning, self.root(folder)
        if need.literal is not None:
            return planning.exactly(folder, rules.key_of(need.literal), os.path.join(root, need.literal))
        prefix = rules.key_of(_WILDCARD.split(need.glob, maxsplit=1)[0])
        for found in planning.beginning_with(folder, prefix):
            relative = self._relative(found)
            if relative and need.pattern.fullmatch(relative):
                return found
        return None

    def _sidecar(self, folder: str, need: Need) -> str | None:
        """What the sidecar says; None while it is not there, or not quiet yet."""
        assert need.literal is not None
        root = self.root(folder)
        path = os.path.join(root, need.literal)
        if not self.ledger.planning.sidecar_known(path):
            return None
        try:
            with source.opened(path, root) as fd:
                text = os.pread(fd, SIDECAR_MOST_BYTES, 0).decode("utf-8-sig").strip()
        except (JobError, OSError, UnicodeDecodeError):
            return None
        return text or None

    # --- waiting in vain ----------------------------------------------------------------------------------------------

    def _overdue(self, id_: int, rule_name: str, trigger: Input) -> None:
        folder = self.folders.get(trigger.folder)
        rule = next((rule for rule in folder.rules if rule.name == rule_name), None) if folder else None
        relative = self._relative(trigger) if folder else None
        fits = rules.fit(rule, trigger.folder, relative) if rule and relative else None
        if rule and fits:
            plan = self.plan(rule, fits, trigger, in_vain=True)
            if not plan.missing:
                for each in self.ledger.planning.plan(None, [plan], self.wall()):
                    self._tell(trigger, each)
                return
        message = self.ledger.planning.give_up(id_, self.wall())
        text = f"{self._name(trigger)} generation g{id_} failed: {message}"
        facts = {"generation": id_, "folder": trigger.folder, "rule": rule_name, "error_code": "input_missing"}
        self.tell(Notice("generation_failed", text, logging.ERROR, facts))

    def _tell(self, upload: Input, planned: Planned) -> None:
        if planned.event is None:
            return
        stories = self.ledger.stories
        row = stories.one(planned.id)
        assert row
        event, what = "generation_queued", "queued"
        if planned.event is Turn.AWAITS:
            needs = ", ".join(f"{need.role} ({need.glob})" for need in stories.needs(row.id))
            event, what = "generation_waits", f"waits for {name_text(needs)}"
        text = f"{self._name(row)} generation g{row.id} {what}"
        facts = {"generation": row.id, "folder": row.folder, "rule": row.rule, "file": upload.id, "path": row.path}
        self.tell(Notice(event, text, logging.INFO, facts))

    def _name(self, of: Input | GenerationRow) -> str:
        return name_text(f"{of.folder}/{self._relative(of) or of.path}")


def overrides(sidecars: Mapping[str, str]) -> Any:
    """What the parameters beside the file say, as JSON gives it; None where there are none. Raises `RuleError`."""
    if PARAMETERS not in sidecars:
        return None
    try:
        return json.loads(sidecars[PARAMETERS])
    except (ValueError, RecursionError) as error:
        raise RuleError(f"they are not JSON: {error}") from None


def _unusable(
    rule: Rule, fit: Fit, trigger: Input, companions: Mapping[str, Input], sidecars: Mapping[str, str]
) -> list[Missing]:
    """Parameters beside the file of which no request can be made count as not there: whoever puts them right changes
    the file, and that is noticed."""
    if PARAMETERS not in sidecars:
        return []
    file_ids = {INPUT: trigger.file_id, **{role: each.file_id for role, each in companions.items()}}
    file_ids |= {role: "" for role in rule.with_ if role not in file_ids and role not in rule.optional}
    try:
        rules.body(rule, fit, file_ids, prompt=sidecars.get(PROMPT, ""), overrides=overrides(sidecars), session_name="")
    except RuleError as error:
        need = next(need for need in rules.needs(rule, fit) if need.role == PARAMETERS)
        return [Missing(PARAMETERS, f"{need.glob}: {error}", need.key, optional=False)]
    return []
