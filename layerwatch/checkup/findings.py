"""What a check finds, and what that means for how the command ends. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from layerwatch.errors import CredentialsRefused, EnvironmentProblem, Problem, UserError
from layerwatch.notices import name_text

# With both, the configuration comes first: nobody needs to look at the rest before it is put right.
_GRAVEST_FIRST = (UserError.exit_code, CredentialsRefused.exit_code, EnvironmentProblem.exit_code)


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  # works, and ought to be looked at
    PROBLEM = "problem"  # something does not work, or will not


class Area(StrEnum):
    """What is looked at; names that scripts may rely on."""

    CONFIGURATION = "configuration"
    DAEMON = "daemon"
    LEDGER = "ledger"
    FOLDER = "folder"
    INOTIFY = "inotify"
    LAYER = "layer"
    CLOCK = "clock"
    RULES = "rules"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `what` is a stable name within its area, `detail` and `do` are for people and can
    be printed anywhere. `code`: how the command ends for it, if it is a problem."""

    area: Area
    level: Level
    what: str
    detail: str
    do: str = ""
    folder: str | None = None
    code: int = EnvironmentProblem.exit_code


@dataclass(frozen=True, slots=True)
class About:
    """Makes findings of one area, or of one folder."""

    area: Area
    folder: str | None = None

    def ok(self, what: str, detail: str) -> Finding:
        return Finding(self.area, Level.OK, what, name_text(detail), folder=self.folder)

    def warning(self, what: str, detail: str, do: str) -> Finding:
        return Finding(self.area, Level.WARNING, what, name_text(detail), name_text(do), self.folder)

    def problem(self, what: str, detail: str, do: str, *, code: int = EnvironmentProblem.exit_code) -> Finding:
        return Finding(self.area, Level.PROBLEM, what, name_text(detail), name_text(do), self.folder, code)

    def told(self, what: str, problems: Iterable[Problem], *, code: int) -> Iterator[Finding]:
        """What an error says."""
        for each in problems:
            yield self.problem(what, f"{each.where}: {each.reason}", each.fix, code=code)


def exit_code(findings: Iterable[Finding]) -> int:
    """How a command ends that has found all this: 0 if nothing is a problem."""
    codes = {finding.code for finding in findings if finding.level is Level.PROBLEM}
    return next((code for code in _GRAVEST_FIRST if code in codes), 0)
