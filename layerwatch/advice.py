"""What a person can do about a file with an error: one sentence for every code, with the command or setting to use.

Pure. Holds for a file that is given up as for one that is still tried again: it says what would help.
"""

from types import MappingProxyType

from layerwatch.errors import Code

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
        Code.EXISTING: "touch it, or copy it there again, if it should be uploaded: it is left alone because of"
        " `existing`",
        Code.INTERNAL: "report it, with the traceback that `layerwatch show` has: it is a fault of layerwatch;"
        " `layerwatch retry` tries once more",
    }
)


def advice(code: str | None) -> str:
    """What to do about this `error_code`; empty where nobody knows it, or there is none."""
    return _ADVICE[Code(code)] if code in set(Code) else ""
