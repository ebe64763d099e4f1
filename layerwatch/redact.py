"""Keep secrets out of everything that is written down: logs, tracebacks, the ledger, the screen.

A signed URL or a session URI lets anyone who has it write; a token lets anyone spend. Both are taken out by their
looks, and the token by its very text as well, wherever a message came from: our code, httpx's log lines, a
traceback.
"""

import html
import json
import re

REDACTED = "[redacted]"

_PATTERNS = (
    # The whole query of a URL that carries a signature or a session.
    (
        re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>\\]*(?:X-Goog-|upload_id)[^\s\"'<>\\]*", re.IGNORECASE),
        rf"\1?{REDACTED}",
    ),
    # The parts, wherever they stand by themselves: a logged path, a percent-encoded URL, a header, JSON within JSON. A
    # backslash ends them all: it belongs to the quoting around, which must stay whole.
    (
        re.compile(
            r"(X-Goog-(?:Signature|Credential)|upload_id)(=|%(?:25)*3D|\\*['\"]?: ?\\*['\"]?)[^\s&\"'<>,)\\]+",
            re.IGNORECASE,
        ),
        rf"\1\2{REDACTED}",
    ),
    # A database's URL, with the password in it.
    (re.compile(r"(postgres(?:ql)?://[^\s:/@\"'<>]*:)[^\s@\"'<>]+@", re.IGNORECASE), rf"\1{REDACTED}@"),
    (re.compile(r"(Bearer\s+)[^\s\"'<>,)\\]+", re.IGNORECASE), rf"\1{REDACTED}"),
)
# Nothing but the token can be in a line without one of these: most lines are only looked through.
_HINTS = ("x-goog-", "upload_id", "bearer", "postgres")
_tokens: set[str] = set()


def register(token: str) -> None:
    """Take this very text out from now on, whatever stands around it; also as JSON and HTML write it."""
    if token:
        _tokens.update((token, json.dumps(token)[1:-1], html.escape(token)))


def redact(text: str) -> str:
    """`text` without secrets."""
    for token in sorted(_tokens, key=len, reverse=True):  # one may begin with another
        text = text.replace(token, REDACTED)
    lowered = text.lower()
    if any(hint in lowered for hint in _HINTS):
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
    return text
