"""How a request ends before its time: a rule broken, or a fault on request.

Every early answer is a `Refused`, so that no caller can forget to stop. Never answers a request that is in order.
"""

from typing import NoReturn

from layerwatch.sandbox.books import Books, Rule
from layerwatch.sandbox.luck import Luck
from layerwatch.sandbox.wire import Response, as_xml_error

ERRORS = ((500, "InternalError"), (503, "ServiceUnavailable"))


class Refused(Exception):
    """The request ends here, with `response`."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Judge:
    """Ends requests to the storage: `breach` for the client's mistakes, `maybe_error` for faults on request."""

    def __init__(self, books: Books, luck: Luck) -> None:
        self._books, self._luck = books, luck

    def breach(self, rule: Rule, detail: str, status: int, code: str = "InvalidArgument") -> NoReturn:
        """Note that the client broke `rule`, and refuse the request as the real storage would."""
        self._books.violate(rule, detail)
        raise Refused(as_xml_error(status, code, detail))

    def maybe_error(self) -> None:
        """Refuse with 500 or 503, as often as the faults say."""
        if self._luck.hits("errors"):
            status, code = ERRORS[self._luck.between(0, 1)]
            raise Refused(as_xml_error(status, code, "a fault on request"))
