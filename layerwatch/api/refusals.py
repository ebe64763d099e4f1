"""An answer that is not what was asked for, as the error that `faults` says it is. Pure.

Never without what the API said for itself, never with a secret in it.
"""

from layerwatch import faults
from layerwatch.api.fields import code_text, plain
from layerwatch.api.wire import Reply
from layerwatch.errors import JobError
from layerwatch.resumable import retry_after_s

MAX_SAID_CHARS = 300


def refusal(reply: Reply) -> JobError:
    """For what is no generation: the codes are ours, as users were promised."""
    return faults.layer(reply.status, is_json=_is_json(reply)).error(said(reply), retry_after_s(reply.headers))


def submit_refusal(reply: Reply) -> JobError:
    """For the paid POST: whether something may have been started."""
    return _generations(faults.submit(reply.status, says_when=bool(reply.headers.get("retry-after"))), reply)


def estimate_refusal(reply: Reply) -> JobError:
    """For the price of a generation that is not started yet."""
    return _generations(faults.estimate(reply.status, is_json=_is_json(reply)), reply)


def follow_refusal(reply: Reply) -> JobError:
    """For the state of one that is paid: it is not given up for what may be the server's trouble."""
    return _generations(faults.follow(reply.status, is_json=_is_json(reply)), reply)


def is_unknown(reply: Reply) -> bool:
    """Whether the API itself says that there is no such thing; a page in the answer's stead is some other server's."""
    return reply.status in (404, 410) and (not reply.body or _is_json(reply))


def _generations(fault: faults.Fault, reply: Reply) -> JobError:
    """For a generation the API's own code is kept, where it gives one."""
    inner = _error_of(reply.json())
    code = code_text(inner.get("code")) or code_text(inner.get("error_code"))
    return fault.error(said(reply), retry_after_s(reply.headers), code)


def _is_json(reply: Reply) -> bool:
    return reply.json() is not None


def said(reply: Reply) -> str:
    """What was answered, for people."""
    body = reply.json()
    told = f"the API answered {reply.status}{_message(body)}"
    if body is None:
        told += f" with {reply.headers.get('content-type', 'nothing').partition(';')[0]} instead of JSON"
    return told


def _message(body: object) -> str:
    inner = _error_of(body)
    parts = [str(inner[key]) for key in ("code", "message", "detail") if inner.get(key)]
    return f" ({plain(': '.join(parts))[:MAX_SAID_CHARS]})" if parts else ""


def _error_of(body: object) -> dict[str, object]:
    """What an error body says for itself: `{"error": {"code", "message"}}` or the same without the envelope."""
    if not isinstance(body, dict):
        return {}
    inner = body.get("error", body)
    return inner if isinstance(inner, dict) else {**body, "message": inner}
