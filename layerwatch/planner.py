"""From uploaded files to generations: shows each upload to the rules of its folder, and writes down what they make of
it. Pays for nothing, sends nothing.

One thread alone plans. What it decides about a file, and that the rules have seen it, is one commit, so that no crash
forgets a generation or plans it twice.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from layerwatch import points, rules, sidecars
from layerwatch.config import Folder, Rule
from layerwatch.config.roles import INPUT, PARAMETERS, PROMPT
from layerwatch.errors import Code, JobError, Superseded, TryAgain
from layerwatch.ledger import GenerationRow, Input, Ledger, Missing, Plan, Planned
from layerwatch.notices import Notice, Tell, name_text
from layerwatch.rules import Fit, Need, RuleError
from layerwatch.site import relative, rule_of
from layerwatch.states import Turn

BATCH = 50
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
        """Plan for a batch of uploads, and look after what has waited for long enough. False when there was nothing."""
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
        # New files go first: of what could not be read there may be a whole share.
        looked = 0 if seen else self.ledger.planning.look_again(self.wall(), BATCH)
        return bool(seen or overdue or released or looked)

    def plans(self, upload: Input) -> Iterator[Plan]:
        """What the rules make of this upload: as what they match, and as what others wait for."""
        folder, below = self.folders[upload.folder], self._relative(upload)
        if below is None:
            return
        for rule in folder.rules:
            if fits := rules.fit(rule, folder.name, below):
                yield self.plan(rule, fits, upload)
            if rules.may_fill(rule, below):
                yield from self._as_companion(rule, folder.name, below, upload.path)

    def plan(self, rule: Rule, fit: Fit, trigger: Input, *, in_vain: bool = False) -> Plan:
        """The generation of this rule for this file as it is now. `in_vain`: what may be missing is not waited for."""
        companions: dict[str, Input] = {}
        texts: dict[str, str] = {}
        missing: list[Missing] = []
        for need in rules.needs(rule, fit):
            match self._sidecar(trigger.folder, need) if need.sidecar else self._find(trigger.folder, need):
                case str() as text:
                    texts[need.role] = text
                case Input() as found:
                    companions[need.role] = found
                case Missing() as lack:
                    missing.append(lack)
        if not any(each.role == PARAMETERS for each in missing):
            missing += _unusable(rule, fit, trigger, companions, texts)
        if in_vain:
            missing = [each for each in missing if not each.optional]
        return Plan(
            rule=rule.name,
            kind=rule.kind,
            target=rule.target_id,
            trigger=trigger,
            companions=companions,
            sidecars=texts,
            missing=tuple(missing),
            wait_s=rule.wait,
            fires_again_on=tuple(texts) if rule.again_on_sidecar else (),
        )

    # --- what there is ------------------------------------------------------------------------------------------------

    def _relative(self, of: Input | GenerationRow) -> str | None:
        return relative(self.folders, self.root, of)

    def _as_companion(self, rule: Rule, folder: str, below: str, path: str) -> Iterator[Plan]:
        """For the files that wait for this one, or used an earlier version of it."""
        planning = self.ledger.planning
        triggers = {
            each.id: each
            for each in (
                *planning.triggers_missing(folder, rule.name, rules.key_of(below)),
                *planning.triggers_using(folder, rule.name, path),
            )
        }
        for trigger in triggers.values():
            theirs = self._relative(trigger)
            fits = rules.fit(rule, folder, theirs) if theirs else None
            if fits and any(need.pattern.fullmatch(below) for need in rules.needs(rule, fits)):
                yield self.plan(rule, fits, trigger)

    def _find(self, folder: str, need: Need) -> Input | Missing:
        planning, root = self.ledger.planning, self.root(folder)
        lack = Missing(need.role, need.glob, need.key, need.optional)
        if need.literal is not None:
            return planning.exactly(folder, rules.key_of(need.literal), os.path.join(root, need.literal)) or lack
        prefix = rules.key_of(_WILDCARD.split(need.glob, maxsplit=1)[0])
        for found in planning.beginning_with(folder, prefix):
            below = self._relative(found)
            if below and need.pattern.fullmatch(below):
                return found
        return lack

    def _sidecar(self, folder: str, need: Need) -> str | Missing:
        """What the sidecar says; or what is missing: it is not there, not quiet yet, or of no use."""
        assert need.literal is not None
        root = self.root(folder)
        for path in self.ledger.planning.sidecars(os.path.join(root, need.literal)):
            name = os.path.relpath(path, root)
            try:
                text = sidecars.read(path, root)
            except Superseded as error:
                if error.code == Code.VANISHED:
                    continue  # one whose ending is written otherwise may have taken its place
                return _of_no_use(need, f"{name}: {error.message}")
            except JobError as error:
                return _of_no_use(need, f"{name} {error.message}", may_pass=isinstance(error, TryAgain))
            return text or Missing(need.role, f"{name} is empty", need.key, need.optional)
        return Missing(need.role, need.glob, need.key, need.optional)

    # --- waiting in vain ----------------------------------------------------------------------------------------------

    def _overdue(self, id_: int, rule_name: str, trigger: Input) -> None:
        rule, below = rule_of(self.folders, trigger.folder, rule_name), self._relative(trigger)
        fits = rules.fit(rule, trigger.folder, below) if rule and below else None
        plan = self.plan(rule, fits, trigger, in_vain=True) if rule and fits else None
        if plan and not plan.missing:
            for each in self.ledger.planning.plan(None, [plan], self.wall()):
                self._tell(trigger, each)
            return
        message = self.ledger.planning.give_up(id_, self.wall(), plan.missing if plan else ())
        text = f"{self._name(trigger)} generation g{id_} failed: {message}"
        facts = {"generation": id_, "folder": trigger.folder, "rule": rule_name, "path": trigger.path}
        facts |= {"error_code": "input_missing"}
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


def _of_no_use(need: Need, why: str, *, may_pass: bool = False) -> Missing:
    """Somebody has put it there: without it something else would be paid for than what was wanted."""
    return Missing(need.role, why, need.key, optional=False, may_pass=may_pass)


def _unusable(
    rule: Rule, fit: Fit, trigger: Input, companions: Mapping[str, Input], texts: Mapping[str, str]
) -> list[Missing]:
    """Parameters beside the file of which no request can be made count as not there: whoever puts them right changes
    the file, and that is noticed."""
    if PARAMETERS not in texts:
        return []
    file_ids = {INPUT: trigger.file_id, **{role: each.file_id for role, each in companions.items()}}
    file_ids |= {role: "" for role in rule.with_ if role not in file_ids and role not in rule.optional}
    try:
        own = sidecars.overrides(texts)
        rules.body(rule, fit, file_ids, prompt=texts.get(PROMPT, ""), overrides=own, session_name="")
    except RuleError as error:
        need = next(need for need in rules.needs(rule, fit) if need.role == PARAMETERS)
        return [Missing(PARAMETERS, f"{need.glob}: {error}", need.key, optional=False)]
    return []
