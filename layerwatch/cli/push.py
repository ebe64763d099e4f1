"""`layerwatch push`: name files to upload. What is plain never comes here: see `layerwatch.push`."""

import os
import stat
import sys
import time
from typing import TYPE_CHECKING

import click

from layerwatch.cli import options, suggestions

if TYPE_CHECKING:
    from layerwatch.config import Settings
    from layerwatch.errors import Problem
    from layerwatch.ledger import Ledger, Outcome
    from layerwatch.names import Names

LOOK_S = 0.1


@click.command("push")
@options.config
@options.as_json
@click.option(
    "--folder",
    metavar="NAME",
    shell_complete=suggestions.folders,
    help="Whose rules apply [default: the folder's that a file lies in, or none].",
)
@click.option("--wait", is_flag=True, help="Until each is uploaded; print its file_id. Without a daemon, do the work.")
@click.option("--timeout", metavar="DURATION", help="With --wait: for so long at most, such as 90s or 10m.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, shell_complete=suggestions.paths)
def command(
    config: str | None, as_json: bool, folder: str | None, wait: bool, timeout: str | None, files: tuple[str, ...]
) -> None:
    """Name files to be uploaded, whatever folder they lie in: they count as complete.

    By itself it only records them, on the disk, for the daemon that runs now or later, and is quick enough for a hook.
    Where the ledger is on a server, LAYERWATCH_LEDGER__URL is all that it needs.
    With --wait it prints `path<TAB>file_id` for each, and exits with 1 if one was not uploaded.
    """
    from layerwatch import push
    from layerwatch.config import load
    from layerwatch.ledger import Ledger

    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")
    deadline = None if timeout is None else time.monotonic() + _seconds(timeout)
    settings = load(config, require_token=False, require_folders=False)
    names = [each.name for each in settings.folders]
    if names:
        _insist_on_folder(folder, names, f"in {settings.path}")
    paths = _real(files, settings.ledger.names)
    with Ledger(settings.ledger.place, names=settings.ledger.names) as ledger:
        if not names:
            _insist_on_folder(folder, [each.name for each in ledger.facts.folders()], "on any host")
        ids = ledger.pushes.add(paths, folder, time.time())
        recorded = list(zip(ids, paths, strict=True))
        push.tell(recorded, as_json=as_json and not wait)
        if wait:
            sys.exit(0 if _Wait(settings, ledger, ids, deadline, as_json=as_json).all_uploaded() else 1)


def _seconds(text: str) -> float:
    from layerwatch.config.faults import Fault
    from layerwatch.config.units import duration

    try:
        return duration(text)
    except Fault as fault:
        raise click.BadParameter(f"{fault.reason}: {fault.fix}", param_hint="--timeout") from None


def _insist_on_folder(folder: str | None, names: list[str], where: str) -> None:
    from layerwatch.errors import Problem, UserError

    if folder is not None and folder not in names:
        raise UserError(Problem("--folder", f"no such folder {where}", f"name one of: {', '.join(names)}"))


def _real(files: tuple[str, ...], names: "Names") -> list[str]:
    """Their real paths; all of them are files that the ledger has a name for, or nothing is recorded."""
    from layerwatch.errors import UserError

    paths = [os.path.realpath(file) for file in files]
    problems = [found for file, path in zip(files, paths, strict=True) if (found := _problem(file, path, names))]
    if problems:
        raise UserError(*problems)
    return paths


def _problem(file: str, path: str, names: "Names") -> "Problem | None":
    from layerwatch.errors import Problem
    from layerwatch.notices import name_text

    nothing = "nothing was recorded, of the others neither: push them again once this is put right"
    if not names.has(path):
        called = names.outside(path)
        reason = f"the ledger would call it what it calls {name_text(names.here(called))}: {name_text(called)}"
        fix = f"under [ledger.paths] give its place a name of its own; {nothing}"
        return Problem(name_text(file), reason, fix)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return Problem(name_text(file), (error.strerror or str(error)).lower(), f"check the path; {nothing}")
    if stat.S_ISREG(mode):
        return None
    what, fix = ("a directory", "name the files in it") if stat.S_ISDIR(mode) else ("not a regular file", "name a file")
    return Problem(name_text(file), what, f"{fix}; {nothing}")


class _Wait:
    """Looks until everything is settled, and tells of each as it is."""

    def __init__(
        self, settings: "Settings", ledger: "Ledger", ids: range, deadline: float | None, *, as_json: bool
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._ids = ids
        self._deadline = deadline
        self._as_json = as_json
        self._told: set[int] = set()
        self._uploaded = 0

    def all_uploaded(self) -> bool:
        """Wait; True when each is uploaded."""
        while not self._look():
            if self._deadline is not None and time.monotonic() >= self._deadline:
                self._give_up("the time is over")
                return False
            if self._ledger.holder() is not None:
                time.sleep(LOOK_S)
            elif (reason := self._work()) != "done":
                self._look()
                self._give_up(reason)
                return False
        return self._uploaded == len(self._ids)

    def _look(self) -> bool:
        """Tell of what is settled and was not told; True when that is everything."""
        for outcome in self._ledger.pushes.outcomes(self._ids):
            if outcome.settled and outcome.id not in self._told:
                self._told.add(outcome.id)
                self._tell(outcome)
        return len(self._told) == len(self._ids)

    def _tell(self, outcome: "Outcome") -> None:
        from layerwatch.cli.tables import emit, page
        from layerwatch.notices import name_text

        uploaded = outcome.status == "uploaded"
        self._uploaded += uploaded
        if self._as_json:
            names = ("path", "status", "file_id", "error_code", "error")
            emit({"push": outcome.id, "file": outcome.file, **{name: getattr(outcome, name) for name in names}})
        elif uploaded:
            page().say(f"{name_text(outcome.path)}\t{outcome.file_id}")
        if not uploaded:
            why = f"{outcome.status or 'refused'} ({outcome.error_code}): {outcome.error}"
            page(err=True).say(f"{name_text(outcome.path)}: {why}")

    def _work(self) -> str:
        """Nobody else does it: upload what was pushed. Returns why that is over; `done` also where somebody else has
        begun just now."""
        if not self._settings.folders:
            return "no daemon is there to do it, and no configuration here to do it by"
        from layerwatch import logs, redact
        from layerwatch.config import load
        from layerwatch.daemon import Daemon
        from layerwatch.errors import AnotherInstance

        settings = load(self._settings.path, require_token=True)
        redact.register(settings.token().get_secret_value())
        logs.set_up("human", verbose=False)
        left_s = None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)
        try:
            ended = Daemon(settings, once=True, tell=logs.tell, only=self._ids, patience_s=left_s).run()
        except AnotherInstance:
            time.sleep(LOOK_S)
            return "done"
        return ended.reason or ended.signal

    def _give_up(self, reason: str) -> None:
        from layerwatch.cli.tables import page

        left = len(self._ids) - len(self._told)
        page(err=True).say(f"{left} of {len(self._ids)} not uploaded: {reason}; recorded, the next run goes on with it")
