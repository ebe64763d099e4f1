"""Delivering: the commands and webhooks that folders want, one at a time, from the ledger's queue.

At least once: what a crash interrupted is done again. A delivery that fails is tried again for hours; nothing else
waits for it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from logging import DEBUG, ERROR, WARNING
from typing import Any

from layerwatch import points
from layerwatch.actions import STOPPED, Performed, run, signed
from layerwatch.api import Webhook
from layerwatch.claiming import Claims
from layerwatch.config import Action, Folder
from layerwatch.errors import JobError, TryAgain, UserError
from layerwatch.ledger import Delivery, Ledger
from layerwatch.notices import Notice, Tell
from layerwatch.recording import insist

FIRST_S, MOST_S = 5.0, 3600.0


@dataclass(frozen=True)
class Courier:
    """Delivers for all folders. `root` tells a folder's real path, `wall` is the clock, in unix seconds."""

    ledger: Ledger
    folders: Mapping[str, Folder]
    root: Callable[[str], str]
    webhook: Webhook
    wall: Callable[[], float]
    stopping: Callable[[], bool]
    pause: Callable[[float], object]
    tell: Tell
    max_attempts: int

    def step(self) -> bool:
        """Deliver what is due longest. False when nothing is."""
        with self._claims.one() as claim:
            job = self.ledger.deliveries.claim(claim, self.wall())
            if job is None:
                return False
            points.passed("delivering")
            done = self._perform(job)
            points.passed("delivered")
            insist(lambda: self._record(job, done), stopping=self.stopping, pause=self.pause, tell=self.tell)
            return True

    @cached_property
    def _claims(self) -> Claims:
        return Claims(self.ledger.new_claim, self.ledger.deliveries.recover)

    def _perform(self, job: Delivery) -> Performed:
        folder, facts = self.folders.get(job.folder), self._facts(job)
        action = (folder.on_uploaded if job.event == "uploaded" else folder.on_complete) if folder else None
        if action is None or facts is None:
            return Performed(f"folder {job.folder} wants nothing done any more", "action_failed")
        if action.url is not None:
            return self._call(job, action, action.url, facts)
        assert action.command, "checked when it was loaded"
        return run(
            action.command,
            {name: _plain(value) for name, value in facts.items()},
            cwd=self.root(job.folder),
            timeout_s=action.timeout,
            stopping=self.stopping,
        )

    def _call(self, job: Delivery, action: Action, url: str, facts: Mapping[str, Any]) -> Performed:
        body = json.dumps(facts, ensure_ascii=False).encode("utf-8", "backslashreplace")
        try:
            secret = action.secret()
            key = secret.get_secret_value() if secret else None
            status = self.webhook.post(
                url, body, signed(body, key, delivery=str(job.id), at=int(self.wall())), action.timeout
            )
        except JobError as error:
            return Performed(error.message, "action_failed", isinstance(error, TryAgain))
        except UserError as error:
            return Performed(str(error), "action_failed", may_pass=True)
        return Performed(f"the webhook answered {status}")

    def _facts(self, job: Delivery) -> dict[str, Any] | None:
        if job.event == "uploaded":
            row = self.ledger.reports.file(job.item_id)
            names = ("folder", "path", "file_id", "hash", "size", "content_type", "uploaded_at")
            return {"event": job.event, "file": row.id, **{name: getattr(row, name) for name in names}} if row else None
        made = self.ledger.stories.one(job.item_id)
        if made is None:
            return None
        names = ("folder", "rule", "kind", "path", "remote_id", "price", "completed_at")
        outputs = [each["path"] for each in made.outputs if "path" in each]
        about = {name: getattr(made, name) for name in names}
        return {"event": job.event, "generation": made.id, **about, "outputs": outputs}

    def _record(self, job: Delivery, done: Performed) -> None:
        now, deliveries = self.wall(), self.ledger.deliveries
        facts = {"delivery": job.id, "folder": job.folder, "item": job.item_id, "error_code": done.code}
        facts |= {"generation" if job.event == "complete" else "file": job.item_id}
        what = f"folder {job.folder}: on_{job.event} for {job.item_id}"
        if done.may_pass and (done.code == STOPPED or job.attempts + 1 < self.max_attempts):
            counts = done.code != STOPPED
            due = now + (min(FIRST_S * 4.0**job.attempts, MOST_S) if counts else 0.0)
            deliveries.again(job, due, done.detail, now, counts=counts)
            self.tell(Notice("delivery_postponed", f"{what} did not succeed: {done.detail}", WARNING, facts))
            return
        deliveries.ended(job, now, done=done.code is None, detail=done.detail)
        if done.code:
            self.tell(Notice("delivery_failed", f"{what} is given up: {done.detail}", ERROR, facts))
        else:
            self.tell(Notice("delivered", f"{what}: {done.detail}", DEBUG, facts))


def _plain(value: object) -> str:
    """A fact as an environment holds it: nothing for None, a line for each of a list."""
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return "" if value is None else str(value)
