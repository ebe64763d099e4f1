"""A call that may hang, made by a thread of its own: whoever asked for it still hears signals, and may go without."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Answer = TypeVar("Answer")


def aside(call: Callable[[], Answer], over: Callable[[], None] = lambda: None) -> Future[Answer]:
    """What it will return, or raise. `over` is called when that is there."""
    future: Future[Answer] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  raised where the result is asked for
            future.set_exception(error)
        over()

    threading.Thread(target=work, name="aside", daemon=True).start()
    return future
