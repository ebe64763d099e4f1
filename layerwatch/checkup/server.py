"""Layer itself: does it take our token, how is the balance, do the clocks agree, would it take the rules?

Sends what costs nothing, and starts nothing.
"""

from collections.abc import Callable, Iterator

from layerwatch import redact
from layerwatch.api import Layer, Workspace, tls_context
from layerwatch.api.wire import host
from layerwatch.checkup.findings import About, Area, Finding
from layerwatch.config import Settings
from layerwatch.errors import Code, CredentialsRefused, JobError, NotTheApi, UserError
from layerwatch.precheck import check_rules

READ_S = 15.0
SKEW_S = 60.0
MUCH_SKEW_S = 600.0
WHOLE_SECOND_S = 0.5  # a Date has no fractions: the middle of its second

_about = About(Area.LAYER)
_clock = About(Area.CLOCK)
_rules = About(Area.RULES)


def check_server(settings: Settings, wall: Callable[[], float], *, offline: bool) -> Iterator[Finding]:
    """All that Layer is asked, and what it needs. `wall` is the clock in question, in unix seconds."""
    lacking = [*_lacking("token", settings.token), *_lacking("workspace", settings.workspace)]
    yield from lacking
    if offline:
        yield _about.ok("answer", "not asked (--offline): token, workspace, balance, clock and rules are not checked")
    elif not lacking:
        token = settings.token().get_secret_value()
        redact.register(token)
        layer = Layer(settings.api.base_url, token, settings.workspace(), tls_context(), read_s=READ_S)
        try:
            yield from _asked(layer, settings, wall)
        finally:
            layer.close()


def _lacking(what: str, get: Callable[[], object]) -> Iterator[Finding]:
    try:
        get()
    except UserError as error:
        yield from _about.told(what, error.problems, code=error.exit_code)


def _asked(layer: Layer, settings: Settings, wall: Callable[[], float]) -> Iterator[Finding]:
    before = wall()
    try:
        workspace = layer.workspace()
    except JobError as error:
        yield _refused(error, settings)
        return
    after = wall()
    yield _about.ok("answer", f"{host(settings.api.base_url)} answers, in {max(after - before, 0) * 1000:.0f} ms")
    yield _about.ok("token", "Layer takes it")
    yield _about.ok("workspace", f"{workspace.name or workspace.workspace_id}, for which the token is good")
    yield from _balance(workspace, settings)
    yield from _skew(workspace, (before + after) / 2)
    yield from _agree(layer, settings)


def _refused(error: JobError, settings: Settings) -> Finding:
    where = host(settings.api.base_url)
    said = error.message if where in error.message else f"{where}: {error.message}"
    if error.code in (Code.UNAUTHORIZED, Code.FORBIDDEN):
        do = "give a valid token (LAYER_TOKEN or token_file) of a member of api.workspace_id"
        return _about.problem("token", said, do, code=CredentialsRefused.exit_code)
    if isinstance(error, NotTheApi):
        do = "correct base_url (Layer's is https://api.app.layer.ai/api) and workspace_id, under [api]"
        return _about.problem("answer", said, do, code=UserError.exit_code)
    if error.code == Code.RATE_LIMITED:
        return _about.warning("answer", said, "check again in a minute")
    do = "see that this machine reaches it (network, proxy, name service), or wait until it is well; files are recorded"
    return _about.problem("answer", said, f"{do} meanwhile, and uploads wait")


def _balance(workspace: Workspace, settings: Settings) -> Iterator[Finding]:
    if workspace.available is None:
        yield _about.ok("balance", "Layer does not tell it")
        return
    said = f"{workspace.available:g} Creative Units available"
    if workspace.available <= 0 and any(folder.rules for folder in settings.folders):
        yield _about.problem("balance", f"{said}: no rule can be fired", "get more of them in Layer")
    else:
        yield _about.ok("balance", said)


def _skew(workspace: Workspace, asked_at: float) -> Iterator[Finding]:
    if workspace.server_time is None:
        yield _clock.ok("skew", "the server does not tell its time")
        return
    skew_s = asked_at - (workspace.server_time + WHOLE_SECOND_S)
    if abs(skew_s) <= SKEW_S:
        yield _clock.ok("skew", "this machine and the server agree")
        return
    said = f"this machine is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the server"
    do = "set the clock, and keep it set: timedatectl set-ntp true"
    if abs(skew_s) > MUCH_SKEW_S:
        yield _clock.problem("skew", f"{said}: signed addresses live for 15 minutes, and may seem over", do)
    else:
        yield _clock.warning("skew", said, do)


def _agree(layer: Layer, settings: Settings) -> Iterator[Finding]:
    number = sum(len(folder.rules) for folder in settings.folders)
    if not number:
        return
    agree = True
    try:
        for each in check_rules(layer, settings.folders, settings.path):
            agree = False
            detail, do = f"{each.problem.where}: {each.problem.reason}", each.problem.fix
            if each.is_warning:
                yield _rules.warning("rule", detail, do)
            else:
                yield _rules.problem("rule", detail, do, code=UserError.exit_code)
    except JobError as error:
        yield _rules.warning("rule", f"not all rules were held against what Layer knows: {error.message}", "try again")
    else:
        if agree:
            yield _rules.ok("rule", f"{number} {'rule agrees' if number == 1 else 'rules agree'} with what Layer knows")
