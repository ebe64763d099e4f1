"""What a person can do about a file or a generation with an error: one sentence for every code, with the command or
setting to use.

Pure. Holds for what is given up as for what is still tried again: it says what would help. Where a retry would be paid
for again, or be of no use at all, it says so.
"""

from types import MappingProxyType

from layerwatch.errors import Code
from layerwatch.states import Generation

_ADVICE = MappingProxyType(
    {
        Code.UNSUPPORTED_TYPE: "save it as JPEG, PNG, WebP, MP4, MP3 or WAV and put the file itself there, no link;"
        " what should never be taken, leave out with the folder's `exclude`",
        Code.TOO_LARGE: "make it smaller; only if Layer takes files of that size, raise `max_file_size`",
        Code.EMPTY: "write it again, with its content; what is always empty, leave out with the folder's `exclude`",
        Code.INCOMPLETE: "write it again, to its end; if its program rests that long while it writes, raise the"
        " folder's `incomplete_after`",
        Code.VANISHED: "put it back if it should be uploaded; whoever clears the folder should wait until"
        " `layerwatch ls` says `uploaded`",
        Code.UNREADABLE: "let the user that layerwatch runs as read it, and the folders above it; a skipped file is"
        " looked at again by the next scan, a failed one after `layerwatch retry`",
        Code.CHANGED: "nothing: what lies there now gets a row of its own; if that happens often, raise the folder's"
        " `settle`",
        Code.FORBIDDEN: "give a token whose owner is a member of `workspace_id`, and see that no proxy changes requests"
        " and the clock is right; then `layerwatch retry`",
        Code.UNAUTHORIZED: "put a valid token into `token_file` or LAYER_TOKEN and restart `layerwatch run`; then"
        " `layerwatch retry` what has failed",
        Code.REJECTED: "put right what the error says the server does not accept, then `layerwatch retry`",
        Code.EXPIRED: "give uploads more speed, for an upload URL lives 15 minutes: raise `max_bandwidth` or lower"
        " `workers`; then `layerwatch retry`",
        Code.RATE_LIMITED: "nothing, if it passes; if it comes back often, lower `workers`, then `layerwatch retry`"
        " what has failed",
        Code.NETWORK: "check that this machine reaches `base_url` and the storage (network, proxy, name service); then"
        " `layerwatch retry` what has failed",
        Code.SERVER: "wait until Layer is well again, then `layerwatch retry` what has failed; if it never is, check"
        " `base_url`",
        Code.CORRUPT: "look for what changes data on its way (a proxy, a failing disk or network card), then"
        " `layerwatch retry`",
        Code.GENERATED: "nothing: it is the result of a generation, and would go round in circles; if rules are to"
        " take results, set `chain`",
        Code.SIDECAR: "nothing: a rule reads it beside its file, as `prompt_from` or `parameters_from` say, and it is"
        " not uploaded",
        Code.EXISTING: "touch it, or copy it there again, if it should be uploaded: it is left alone because of"
        " `existing`",
        Code.INTERNAL: "report it, with the traceback that `layerwatch show` has: it is a fault of layerwatch;"
        " `layerwatch retry` tries once more",
    }
)

_RESOLVE = (
    "look in Layer, by the session name that `layerwatch show` tells, whether it was started; then settle it with"
    " `layerwatch resolve`"
)
_COSTS_AGAIN = "`layerwatch retry` fires it again, which costs again"
_COSTS_NOTHING = "`layerwatch retry` looks for its results again, which costs nothing"
_NEVER = "a retry never succeeds, and may cost again"

# The API's own codes, and ours for what only generations meet.
_OF_GENERATIONS: MappingProxyType[str, str] = MappingProxyType(
    {
        "CONTENT_POLICY_VIOLATION": f"{_NEVER}: change the input or its prompt, or keep such files out of the rule's"
        " `match`",
        "IMAGE_TOO_SMALL": f"{_NEVER}: put a larger image there, or keep such files out of the rule's `match`",
        "IMAGE_TOO_LARGE": f"{_NEVER}: put a smaller image there, or keep such files out of the rule's `match`",
        "INTERNAL_SERVER_ERROR": f"it may succeed another time: {_COSTS_AGAIN}; if it keeps failing, ask Layer",
        "DOWNSTREAM_SERVICE_ERROR": f"it may succeed later, when the service behind Layer is well: {_COSTS_AGAIN}",
        "failed": f"look in Layer why, for it gave no code; {_COSTS_AGAIN}",
        "cancelled": f"nothing, if somebody meant to cancel it in Layer; {_COSTS_AGAIN}",
        "input_missing": "put what was missing there, then `layerwatch retry`; if it usually comes later than that,"
        " raise the rule's `wait`",
        "superseded": "nothing: the newer version of its input has a generation of its own, as `layerwatch show` tells",
        "over_per_generation": "`layerwatch approve` lets it go ahead all the same; if its like are to pass by"
        " themselves, raise `per_generation`",
        "over_daily": "nothing, it goes on with the next day (UTC); sooner with `layerwatch approve`; if that happens"
        " often, raise `daily`",
        "burst": "see whether so many are meant, then `layerwatch approve`; if so many at once are usual, raise"
        " `burst`",
        "price_unknown": "`layerwatch approve`, if it may cost what it will: Layer tells no price beforehand, so that"
        " `per_generation` and `daily` cannot be kept",
        "insufficient_units": "get more Creative Units in Layer: it goes on by itself within a quarter of an hour, or"
        " at once with `layerwatch approve`",
        "interrupted": _RESOLVE,
        "time_limit": f"{_COSTS_NOTHING}; if it usually takes longer than that, raise the rule's `time_limit`",
        "result_too_large": "raise the rule's `max_result_size`; then `layerwatch retry` fetches it, which costs"
        " nothing",
        "disk": "make room, or let layerwatch write, where `outputs` belong; what has `failed` then goes on with"
        " `layerwatch retry`, which costs nothing",
        "exists": "move the file away that has the name of a result's .layer.json; then `layerwatch retry`, which"
        " costs nothing",
        "rule_gone": "put the rule back into the configuration, under its name and with its `match`; then"
        " `layerwatch retry`",
        "rule": "put right what the error says, in the rule or in the file that `parameters_from` reads; then"
        " `layerwatch retry`",
        "not_found": f"look in Layer whether somebody deleted it; {_COSTS_NOTHING}",
    }
)
# What files meet too, and what helps a generation is something else.
_INSTEAD: MappingProxyType[str, str] = MappingProxyType(
    {
        Code.NETWORK: "check that this machine reaches `base_url` and the place of the results (network, proxy, name"
        " service); then `layerwatch retry` what has failed",
        Code.EXPIRED: "`layerwatch retry` asks Layer for fresh addresses of its results, which costs nothing",
        Code.VANISHED: "bring its folder back, with its `path`: its results are saved as soon as it is there",
        Code.RATE_LIMITED: "nothing, if it passes; else see what else uses the workspace, then `layerwatch retry` what"
        " has failed",
    }
)
_UNHEARD_OF = "put right what Layer says about it, in the rule or in its input; then `layerwatch retry`"


def advice(code: str | None) -> str:
    """What to do about this `error_code`; empty where nobody knows it, or there is none."""
    if code in set(Code):
        return _ADVICE[Code(code)]
    return _OF_GENERATIONS.get(code or "", "")


def generation_advice(code: str | None, status: str) -> str:
    """What to do about a generation with this `error_code` and status; empty where there is nothing."""
    if status == Generation.UNKNOWN:
        return _RESOLVE  # whatever it was that kept the answer away
    known = _OF_GENERATIONS.get(code or "") or _INSTEAD.get(code or "") or advice(code)
    return known or (_UNHEARD_OF if status == Generation.FAILED else "")
