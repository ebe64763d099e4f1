"""The files of a rehearsal: the drop folders are looked through as in a run, and what is queued counts as uploaded.

Reads the files, and does nothing else to them or their folders.
"""

import os
import uuid
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

from layerwatch.config import Folder
from layerwatch.config import Watch as WatchMode
from layerwatch.dropfolder import DropFolder
from layerwatch.errors import Code, JobError, Superseded, TryAgain
from layerwatch.finish import Policy
from layerwatch.intake import Surroundings
from layerwatch.ledger import Job
from layerwatch.notices import Notice
from layerwatch.preview.outlook import FolderOutlook, NotYet, Refused, Reused, Upload
from layerwatch.preview.pricing import NEW
from layerwatch.preview.stage import LONG_S, Stage
from layerwatch.rules import key_of
from layerwatch.site import relative, why_no_input
from layerwatch.source import identity, opened
from layerwatch.states import Event, File, judge
from layerwatch.watch import Watch

SECOND_LOOK_S = 0.5  # a file that is not whole says so when it is looked at once more
TICK_S = 1e-6


@dataclass
class _Clock:
    """Time that passes only where it is waited for, and a little with each look at it."""

    now: float = 0.0

    def monotonic(self) -> float:
        self.now += TICK_S
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


class _Nobody:
    """Watches nothing. A real one would take an inotify instance, of which a user has but a few."""

    def remove(self, root: str) -> None:
        """There is nothing to stop."""


@dataclass
class _Files:
    """What becomes of one folder's files."""

    uploads: list[Upload] = field(default_factory=list)
    reused: list[Reused] = field(default_factory=list)
    skipped: list[Refused] = field(default_factory=list)
    lost: dict[int, Refused] = field(default_factory=dict)


class Arrivals:
    """Every file of every folder, once."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._files = {name: _Files() for name in stage.folders}

    # --- from the folder to the queue ---------------------------------------------------------------------------------

    def look_through(self, folder: Folder) -> None:
        """Scan it, wait in no time until all is settled, and take what is whole."""
        clock, stage = _Clock(), self._stage
        # Polled, it is not watched, and no canary is put there; nobody waits for it to settle.
        polled = folder.model_copy(update={"watch": WatchMode.POLLING, "settle": 0.0})
        around = Surroundings(
            ledger=stage.copy,
            wall=stage.wall,
            monotonic=clock.monotonic,
            stopping=partial(self._on_and_on, folder),
            queued=lambda: None,
            tell=partial(self._told, folder),
            max_size=stage.settings.upload.max_file_size,
            aftermath=Policy.of(folder).wanted,
            why_no_input=partial(why_no_input, stage.folders, stage.root, folder),
        )
        drop = DropFolder(polled, cast("Watch", _Nobody()), around)
        while not drop.idle:
            clock.passes(drop.step())
            stage.copy.checkpoint_if_due()
        until = clock.now + SECOND_LOOK_S
        while clock.now < until:
            clock.passes(drop.step())

    def _on_and_on(self, folder: Folder) -> bool:
        """Never time to end; asked often, also while a large file is read."""
        self._stage.progress(f"looking through {folder.name}")
        return False

    def _told(self, folder: Folder, notice: Notice) -> None:
        match notice.event:
            case "skipped":
                facts = notice.facts
                refused = Refused(facts["path"], str(facts["error_code"]), facts["error"])
                self._files[folder.name].skipped.append(refused)
            case "directory_unreadable":
                self._stage.prices.warn(notice.text)

    # --- from the queue to Layer --------------------------------------------------------------------------------------

    def upload(self) -> None:
        """All that is queued in folders that are there counts as uploaded."""
        stage, done = self._stage, 0
        workspace_id = stage.settings.api.workspace_id or ""
        while job := stage.copy.files.claim(uuid.uuid4().hex, workspace_id, stage.wall()):
            try:
                self._send(job, workspace_id)
            except JobError as error:
                self._give_back(job, error)
            done += 1
            stage.went_on(f"{done} files to upload")

    def _send(self, job: Job, workspace_id: str) -> None:
        """Count it as sent. Raises what an uploader would when it opens the file."""
        stage, root, found = self._stage, self._stage.root(job.folder), self._files[job.folder]
        now, size = stage.wall(), job.identity.size
        below = relative(stage.folders, stage.root, job)
        if job.twin:
            file_id = job.twin.file_id
            found.reused.append(Reused(job.path, size, None if file_id.startswith(NEW) else file_id))
        else:
            _insist_on_version(job, root)
            file_id = f"{NEW}{job.id}"
            stage.prices.types[file_id] = job.content_type
            held = job.bytes_sent if job.session and job.session.expires_at > now else 0
            found.uploads.append(Upload(job.path, size, size - held, job.content_type))
        stage.copy.files.uploaded(
            job,
            Event.REUSED if job.twin else Event.STORED,
            now,
            file_id=file_id,
            workspace_id=workspace_id,
            verified=job.twin.verified if job.twin else "crc32c",
            rule_key=key_of(below or job.path) if stage.folders[job.folder].rules else None,
        )

    def _give_back(self, job: Job, error: JobError) -> None:
        stage = self._stage
        most = stage.settings.upload.max_attempts
        verdict = judge(error, attempts=job.attempts, progressed=False, max_attempts=most, jitter=1.0)
        if isinstance(error, TryAgain):
            verdict = replace(verdict, delay_s=LONG_S)
        stage.copy.files.faulted(job, verdict, stage.wall(), keep_session=True)
        self._files[job.folder].lost[job.id] = Refused(job.path, str(error.code), error.message)

    # --- what came of it ----------------------------------------------------------------------------------------------

    def outlook(self, folder: Folder) -> FolderOutlook:
        copy, files = self._stage.copy, self._files[folder.name]
        facts = copy.facts.one_folder(folder.name)
        queued = sum(row.id not in files.lost for row in copy.reports.with_status(File.QUEUED, folder.name))
        waiting = (item for item in copy.reports.candidates() if item["folder"] == folder.name)
        return FolderOutlook(
            name=folder.name,
            path=self._stage.root(folder.name),
            state=facts.state if facts else None,
            detail=facts.detail if facts else "",
            uploads=tuple(files.uploads),
            reused=tuple(files.reused),
            waiting=tuple(NotYet(item["path"], item["size"], item["reason"]) for item in waiting),
            skipped=tuple(files.skipped),
            lost=tuple(files.lost.values()),
            left=queued,
        )


def _insist_on_version(job: Job, root: str) -> None:
    with opened(job.path, root) as fd:
        if identity(os.fstat(fd)) != job.identity:
            raise Superseded(Code.CHANGED, "the file is not the one that was queued any more")
