"""Following: ask Layer how a generation stands, and, once it is complete, bring its results home.

It is paid for: whatever goes wrong here is tried again, or left for `retry`, which pays for nothing.
"""

import os
from functools import partial
from logging import ERROR, INFO, WARNING
from typing import Any

from layerwatch import points
from layerwatch.api import Progress, Remote
from layerwatch.errors import ApiDown, Code, FolderAway, JobError, Stopped, TryAgain
from layerwatch.fire import Home, Ties, fetch
from layerwatch.ledger import FolderState, Following, LostClaim
from layerwatch.notices import Notice, name_text
from layerwatch.pacing import Pass
from layerwatch.results import DISK
from layerwatch.states import Turn
from layerwatch.workbench import Bench, delay_s, fault, poll_s, trouble_of

TIME_LIMIT = "time_limit"


class Follower:
    """Follows one generation at a time."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._following = bench.ledger.following

    def follow(self, job: Following, given: Pass) -> None:
        """How does it stand? And once it is complete: its results."""
        try:
            remote = self._bench.kit.layer.follow(job.kind, job.target, job.remote_id)
        except Exception as error:  # noqa: BLE001  a bug of ours must not lose what was paid for
            trouble = error if isinstance(error, JobError) else fault(error)
            self._bench.mind_the_gate(trouble, given)
            self._bench.insist(partial(self._not_told, job, trouble))
            return
        self._bench.mind_the_gate(None, given)
        match remote.progress:
            case Progress.COMPLETE:
                points.passed("polled")
                self._complete(job, remote)
            case Progress.RUNNING:
                self._bench.insist(partial(self._still_running, job, remote))
            case Progress.FAILED | Progress.CANCELLED:
                self._bench.insist(partial(self._ended, job, remote))

    def _not_told(self, job: Following, error: JobError) -> None:
        now = self._bench.kit.wall()
        if isinstance(error, TryAgain):
            due = now + delay_s(error, job.attempts + 1)
            attempts = job.attempts + (not isinstance(error, ApiDown))
            self._following.again(job, due, attempts=attempts, code=error.code, message=error.message)
            return
        self._following.ended(job, Turn.FAILED, now, code=error.code, message=error.message, remote_state=None)
        self._bench.tell_failed(job, error.code, error.message)

    def _still_running(self, job: Following, remote: Remote) -> None:
        now = self._bench.kit.wall()
        if now < job.deadline:
            self._following.again(job, now + poll_s(remote.poll_after_s))
            return
        message = f"Layer still says {remote.word or 'nothing'} after the rule's time_limit; `retry` looks again"
        self._following.ended(job, Turn.FAILED, now, code=TIME_LIMIT, message=message, remote_state=None)
        self._bench.tell_failed(job, TIME_LIMIT, message)

    def _ended(self, job: Following, remote: Remote) -> None:
        now, is_failure = self._bench.kit.wall(), remote.progress is Progress.FAILED
        code = remote.error_code or ("failed" if is_failure else "cancelled")
        message = remote.error or f"Layer says {remote.word}"
        self._following.ended(
            job,
            Turn.FAILED if is_failure else Turn.CANCELLED,
            now,
            code=code,
            message=message,
            remote_state="failed" if is_failure else "cancelled",
            price=remote.price,
        )
        if is_failure:
            self._bench.tell_failed(job, code, message)
        else:
            self._bench.tell("generation_cancelled", job, f"was cancelled in Layer: {message}", WARNING)

    def _complete(self, job: Following, remote: Remote) -> None:
        progress: list[int] = []
        try:
            outputs = self._results(job, remote, progress)
        except Stopped:
            self._bench.insist(partial(self._following.again, job, self._bench.kit.wall(), remote_state="complete"))
            return
        except LostClaim as error:
            self._bench.site.tell(Notice("lost_claim", f"{error}; its results are not recorded", ERROR))
            return
        except Exception as error:  # noqa: BLE001  as above
            trouble = error if isinstance(error, JobError) else trouble_of(error)
            self._bench.insist(partial(self._not_fetched, job, trouble, remote, progressed=bool(progress)))
            return
        folder = self._bench.site.folders.get(job.folder)
        record = partial(
            self._following.completed, job, outputs, remote.price, remote.completed_at, self._bench.kit.wall(),
            deliver=bool(folder and folder.on_complete),
        )  # fmt: skip
        if self._bench.insist(record):
            points.passed("completed")
            cost = "" if remote.price is None else f", {remote.price:g} Creative Units"
            text = f"complete, {len(outputs)} result{'' if len(outputs) == 1 else 's'}{cost}"
            paths = [each["path"] for each in outputs if "path" in each]
            self._bench.tell("generation_complete", job, text, INFO, price=remote.price, outputs=paths)

    def _results(self, job: Following, remote: Remote, progress: list[int]) -> list[dict[str, Any]]:
        rule, relative = self._bench.site.rule(job), self._bench.site.relative(job)
        if rule is None or rule.outputs is None:
            return [{"url": asset.url, "content_type": asset.content_type} for asset in remote.assets]
        root = self._bench.site.root(job.folder)
        facts = self._bench.ledger.facts.one_folder(job.folder)
        is_there = facts is not None and facts.state in (FolderState.WATCHING, FolderState.POLLING)
        # An unmounted share leaves an empty directory behind: only who watches the folder can tell.
        if relative is None or not is_there or not os.path.isdir(root):
            raise FolderAway(Code.VANISHED, f"the folder {name_text(root)} is not there, or is another one now")

        def saved(number: int) -> None:
            progress.append(number)
            self._following.saved(job, number)
            points.passed("saved")

        self._following.fetching(job)
        called = self._bench.ledger.names.outside
        ties = Ties(partial(self._following.intend, job), saved, self._bench.kit.stopping, called)
        home = Home(root, rule.outputs, relative, rule.max_result_size)
        return fetch(job, remote, home, self._bench.kit.assets, self._provenance(job, remote), ties)

    def _provenance(self, job: Following, remote: Remote) -> dict[str, Any]:
        """What the results came from, for those who find only them."""
        stories, names = self._bench.ledger.stories, self._bench.ledger.names
        row, inputs = stories.one(job.id), stories.inputs(job.id)
        assert row
        return {
            "generation": job.id,
            "folder": job.folder,
            "rule": job.rule,
            "kind": job.kind,
            "target_id": job.target,
            "remote_id": job.remote_id,
            "workspace_id": self._bench.kit.layer.workspace_id,
            "inputs": [
                {"role": each.role, "path": names.outside(each.path), "sha256": each.hash, "file_id": each.file_id}
                for each in inputs
            ],
            "request": stories.request(job.id),
            "estimated_price_creative_units": row.estimated_price,
            "price_creative_units": remote.price,
            "fired_at": row.booked_at,
            "completed_at": remote.completed_at,
        }

    def _not_fetched(self, job: Following, error: JobError, remote: Remote, *, progressed: bool) -> None:
        """Paid for, and not here yet: a full disk or a folder that is away is waited for, all else for a while."""
        now, following = self._bench.kit.wall(), self._following
        waits = isinstance(error, FolderAway) or error.code == DISK
        attempts = 0 if progressed else job.attempts + (not waits)
        if isinstance(error, TryAgain) and attempts < self._bench.site.max_attempts:
            due = now + delay_s(error, attempts + 5 * waits)
            following.again(
                job, due, attempts=attempts, code=error.code, message=error.message, remote_state="complete"
            )
            text = f"its results wait ({error.code}): {error.message}"
            self._bench.tell("generation_postponed", job, text, WARNING, error_code=error.code)
            return
        message = f"complete, and its results are not here: {error.message}; `retry` fetches them again, for nothing"
        following.ended(
            job, Turn.FAILED, now, code=error.code, message=message, remote_state="complete", price=remote.price
        )
        self._bench.tell_failed(job, error.code, message)
