"""A new configuration while the daemon runs: looked at on a thread of its own, as Layer has to be asked, and may be
slow.

It is taken as a whole or not at all. What the daemon cannot change under way keeps the old one, too, and is said.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from layerwatch.api import Layer
from layerwatch.config import Settings
from layerwatch.daemon.admission import admit
from layerwatch.errors import Problem, UserError
from layerwatch.ledger import Ledger
from layerwatch.notices import Notice, Tell
from layerwatch.sdnotify import Notifier

Load = Callable[[], Settings]
NO_OTHER = Problem("SIGHUP", "this run goes by the configuration that it began with", "end it, and start it anew")


@dataclass(frozen=True)
class Steps:
    """How a new configuration comes into force. `load` reads it, None where this run keeps its own; `layer` makes a
    client for it; `prepare` has ready what it needs, and may refuse with `UserError`, as `load` may; `take` goes by it
    from then on, and may raise `LedgerTrouble`, to be called again."""

    load: Load | None
    layer: Callable[[Settings], Layer]
    prepare: Callable[[Settings], None]
    take: Callable[[Ledger, Settings], None]


class Reload:
    """`ask` may be called from anywhere, a signal's handler above all; the rest from the main thread. `kept` says why
    the last one was not taken; it is empty after one that was."""

    def __init__(self, steps: Steps, tell: Tell, notifier: Notifier, wake: Callable[[], None]) -> None:
        self._steps = steps
        self._tell = tell
        self._notifier = notifier
        self._wake = wake
        self._asked = False
        self._looking: threading.Thread | None = None
        self._verdict: Settings | UserError | None = None
        self._taking: Settings | None = None
        self.kept = ""

    def ask(self) -> None:
        self._asked = True
        self._wake()

    def mind(self, ledger: Ledger, now: Settings) -> None:
        """Do what is to be done; `now` is the configuration in force. Raises `LedgerTrouble`: it goes on next time."""
        if self._asked and self._looking is None:
            self._begin(now)
        if self._looking and self._verdict is not None:
            verdict, self._verdict, self._looking = self._verdict, None, None
            self._decide(verdict)
        if self._taking:
            self._steps.take(ledger, self._taking)
            text = f"a new configuration is in force: {changes(now, self._taking)}"
            self.kept, self._taking = "", None
            self._tell(Notice("configuration_taken", text))
            self._notifier.ready("a new configuration is in force")

    def _begin(self, now: Settings) -> None:
        self._asked = False
        self._notifier.reloading(time.monotonic_ns() // 1000)
        if self._steps.load is None:
            self._keep(UserError(NO_OTHER))
            return
        self._looking = threading.Thread(
            target=self._look, args=(now, self._steps.load), name="configuration", daemon=True
        )
        self._looking.start()

    def _look(self, now: Settings, load: Load) -> None:
        try:
            self._verdict = self._admitted(now, load())
        except UserError as error:
            self._verdict = error
        except Exception as error:  # noqa: BLE001  whatever it is: what runs goes on as it was
            fix = "restart layerwatch, if it is the configuration that is wanted"
            self._verdict = UserError(Problem("configuration", f"a fault in layerwatch: {error!r}", fix))
        self._wake()

    def _admitted(self, now: Settings, new: Settings) -> Settings:
        for name in type(new.ledger).model_fields:
            if getattr(new.ledger, name) != getattr(now.ledger, name):
                fix = "restart layerwatch, or put it back"
                raise UserError(Problem(f"{new.path}: ledger.{name}", "cannot change while layerwatch runs", fix))
        for name in ("base_url", "workspace_id"):
            if getattr(new.api, name) != getattr(now.api, name):
                reason = "cannot change while layerwatch runs: what is under way belongs to the one before"
                raise UserError(
                    Problem(f"{new.path}: api.{name}", reason, "end layerwatch, and start it with the new one")
                )
        if new.api != now.api or new.folders != now.folders:
            layer = self._steps.layer(new)
            try:
                admit(new, layer, self._tell, rules=True)
            finally:
                layer.close()
        return new

    def _decide(self, verdict: Settings | UserError) -> None:
        try:
            if isinstance(verdict, UserError):
                raise verdict
            self._steps.prepare(verdict)
        except UserError as error:
            self._keep(error)
        else:
            self._taking = verdict

    def _keep(self, error: UserError) -> None:
        self.kept = "; ".join(map(str, error.problems))
        self._tell(Notice("configuration_kept", f"the configuration stays as it was: {self.kept}", logging.ERROR))
        self._notifier.ready("a new configuration was not taken: the old one stays in force")


def changes(old: Settings, new: Settings) -> str:
    """What is different, in a few words for a log."""
    before, after = ({folder.name: folder for folder in each.folders} for each in (old, new))
    found = [f"folder {name} is new" for name in after.keys() - before.keys()]
    found += [f"folder {name} is gone" for name in before.keys() - after.keys()]
    found += [f"folder {name} is changed" for name in after.keys() & before.keys() if before[name] != after[name]]
    sections = ("api", "upload", "budget", "http")
    found += [f"[{name}] is changed" for name in sections if getattr(old, name) != getattr(new, name)]
    return ", ".join(sorted(found)) or "nothing is different"
