"""A new configuration while the daemon runs: looked at on a thread of its own, as Layer has to be asked, and may be
slow.

It is taken as a whole or not at all. What the daemon cannot change under way keeps the old one, too, and is said.
"""

import threading
from collections.abc import Callable

from layerwatch.api import Layer
from layerwatch.config import Settings
from layerwatch.daemon.admission import admit
from layerwatch.errors import Problem, UserError
from layerwatch.notices import Tell

Load = Callable[[], Settings]
Verdict = Settings | UserError


class Reload:
    """At most one under way. `load` reads the configuration anew, `layer` makes a client for it; `done` is called from
    the other thread."""

    def __init__(self, load: Load, layer: Callable[[Settings], Layer], tell: Tell, done: Callable[[], None]) -> None:
        self._load = load
        self._layer = layer
        self._tell = tell
        self._done = done
        self._under_way = False
        self._verdict: Verdict | None = None

    def begin(self, now: Settings) -> bool:
        """Look at the configuration anew, held against that of now. False while that is under way already."""
        if self._under_way:
            return False
        self._under_way = True
        threading.Thread(target=self._look, args=(now,), name="configuration", daemon=True).start()
        return True

    def verdict(self) -> Verdict | None:
        """The new configuration, or why it is none; once. None while nothing is decided."""
        verdict, self._verdict = self._verdict, None
        if verdict is not None:
            self._under_way = False
        return verdict

    def _look(self, now: Settings) -> None:
        try:
            self._verdict = self._new(now)
        except UserError as error:
            self._verdict = error
        self._done()

    def _new(self, now: Settings) -> Settings:
        new = self._load()
        if new.ledger != now.ledger:
            fix = "restart layerwatch, or put it back"
            raise UserError(Problem(f"{new.path}: ledger.path", "cannot change while layerwatch runs", fix))
        if new.api != now.api or new.folders != now.folders:
            layer = self._layer(new)
            try:
                admit(new, layer, self._tell, rules=True)
            finally:
                layer.close()
        return new


def changes(old: Settings, new: Settings) -> str:
    """What is different, in a few words for a log."""
    before, after = ({folder.name: folder for folder in each.folders} for each in (old, new))
    found = [f"folder {name} is new" for name in after.keys() - before.keys()]
    found += [f"folder {name} is gone" for name in before.keys() - after.keys()]
    found += [f"folder {name} is changed" for name in after.keys() & before.keys() if before[name] != after[name]]
    sections = ("api", "upload", "budget", "http")
    found += [f"[{name}] is changed" for name in sections if getattr(old, name) != getattr(new, name)]
    return ", ".join(sorted(found)) or "nothing is different"
