"""The ledger where it is a PostgreSQL database: is it there, may we write it, who works on it? Changes nothing."""

import os
from collections.abc import Iterator

from layerwatch import __version__
from layerwatch.checkup.findings import About, Area, Finding
from layerwatch.checkup.ledger import Known
from layerwatch.config import Ledger as Configured
from layerwatch.errors import EnvironmentProblem, LayerwatchError, UserError
from layerwatch.ledger import Ledger
from layerwatch.ledger.health import VERSION
from layerwatch.ledger.postgres.health import OLDEST, Health, examine
from layerwatch.ledger.postgres.hosts import HostRow

A_DAEMONS = 14  # connections: those of its threads, one to show that it is alive, one to be asked by
_about = About(Area.LEDGER)


def check_database(configured: Configured, known: Known) -> Iterator[Finding]:
    """All about it; what is noted in it goes into `known`."""
    yield from _places(configured)
    try:
        health = examine(configured.place)
    except UserError as error:
        yield from _about.told("server", error.problems, code=EnvironmentProblem.exit_code)
        return
    yield from _hosts(health.hosts)
    yield from _server(configured.shown, health)
    yield _version(health)
    yield _writing(health)
    yield from _durable(health)
    if health.version == VERSION and not health.barred:
        _read(configured, known)


def _places(configured: Configured) -> Iterator[Finding]:
    """What `[ledger.paths]` names: whoever has not mounted it has no files there."""
    for here, there in configured.paths.items():
        real = os.path.realpath(here)
        said = f"{here}, {'' if real == here else f'which is {real}, '}"
        if os.path.isdir(here):
            yield _about.ok("paths", f"{said}is called {there} in the ledger")
        else:
            do = "mount what belongs there; if this host does not have it, take the line out of [ledger.paths]"
            yield _about.warning("paths", f"{said}called {there} in the ledger, is not there", do)


def _hosts(hosts: tuple[HostRow, ...]) -> Iterator[Finding]:
    about = About(Area.DAEMON)
    alive = [host for host in hosts if host.alive]
    if not alive:
        yield about.ok("process", "none works on this ledger now")
    for host in hosts:
        where = f"process {host.pid} on {host.name}, version {host.version}"
        if not host.alive:
            detail = f"{where}: not heard of for {host.silent_s:.0f} s; others take its work over"
            yield about.warning("process", detail, f"look at {host.name}, and start layerwatch there again")
        elif host.version != __version__:
            detail = f"{where}, and {__version__} is installed here"
            yield about.warning("version", detail, "bring all hosts to one version, and restart `layerwatch run` there")
        else:
            yield about.ok("process", f"{where}, works on this ledger")


def _server(shown: str, health: Health) -> Iterator[Finding]:
    said = f"{shown} answers: PostgreSQL {health.server}"
    if health.release < OLDEST:
        do = f"upgrade the server to PostgreSQL {OLDEST} or later: older ones get no repairs, and were not tried"
        yield _about.problem("server", said, do)
    else:
        yield _about.ok("server", said)
    enough = len([host for host in health.hosts if host.alive]) + 1
    if health.most_connections < enough * A_DAEMONS:
        detail = f"the server takes {health.most_connections} connections, and each daemon wants up to {A_DAEMONS}"
        yield _about.warning("connections", detail, "raise max_connections of the server")


def _version(health: Health) -> Finding:
    if not health.version:
        return _about.ok("version", "there is no ledger in it yet; `layerwatch run` makes one")
    if health.version > VERSION:
        detail = f"version {health.version}, written by a newer layerwatch: this one knows {VERSION}"
        return _about.problem("version", detail, "upgrade layerwatch, or name another database in [ledger] url")
    if health.version < VERSION:
        return _about.ok("version", f"{health.version}; `layerwatch run` brings it to {VERSION}")
    return _about.ok("version", f"{health.version}, which is this one's")


def _writing(health: Health) -> Finding:
    if not health.barred:
        return _about.ok("write", "this user can write it")
    do = "name the primary server, and let this user own the database, or at least the schema layerwatch in it"
    return _about.problem("write", f"this user cannot write it: {health.barred}", do)


def _durable(health: Health) -> Iterator[Finding]:
    if not health.durable:
        detail = "synchronous_commit is off: a power cut could forget what was paid for"
        yield _about.warning("durable", detail, "set synchronous_commit = on, for this user at least")


def _read(configured: Configured, known: Known) -> None:
    try:
        with Ledger(configured.place, create=False, names=configured.names) as ledger:
            known.folders = {facts.name: facts for facts in ledger.facts.folders()}
    except LayerwatchError:
        return  # it went away just now; the next check tells
