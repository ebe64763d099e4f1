"""Which troubles with a server pass by themselves, and which only a person can mend.

While a connection is made, the client's library keeps the server's SQLSTATE to itself: there is its message alone, and
that is in the server's language. Whether the server takes nobody just now can be asked in any.
"""

import re

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

ASK_S = 2  # the whole process stands still meanwhile: it is asked where it has just answered
# Connections, resources, an operator, the system below it, deadlocks; somebody else's lock; one that is to take over.
_PASSING = ("08", "53", "57", "58", "40", "55P03", "25006")
_QUOTED = re.compile(r"""\"[^"\n]*\"|'[^'\n]*'""")  # names: what they mean is nobody's business
# The severity, in whatever language, with two blanks behind its colon.
_BY_THE_SERVER = re.compile(r"failed: [^\s:]+: {2}(.*)")
_TAKES_NOBODY_NOW = re.compile(r"the database system is |too many (clients|connections)|connection slots are reserved|"
                               r"terminating connection")  # fmt: skip
_CUT = re.compile(r"closed|\beof\b|reset by peer|timed out|timeout|broken pipe", re.IGNORECASE)
_FOR_A_PERSON = re.compile(
    r"certificate|ssl|password|authenticat|gss|scram|channel binding|private key|invalid", re.IGNORECASE
)


def passes(url: str, error: Exception) -> bool:
    """Whether waiting may be all that is to be done. Asks the server where its words do not tell."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_PASSING)
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    text = _QUOTED.sub("", str(error))
    if said := _BY_THE_SERVER.findall(text):
        return all(map(_TAKES_NOBODY_NOW.search, said)) or _takes_nobody(url)
    return bool(_CUT.search(text)) or not _FOR_A_PERSON.search(text)


def _takes_nobody(url: str) -> bool:
    """Whether there is a server that starts, stops or recovers just now."""
    return PGconn.ping(make_conninfo(url, connect_timeout=ASK_S).encode()) == Ping.REJECT
