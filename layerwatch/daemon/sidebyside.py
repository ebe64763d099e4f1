"""Several things at once, for as long as they take."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def side_by_side(works: Sequence[Callable[[], T]]) -> list[T]:
    """What each of them returns, in their order. Raises what one of them raised.

    The first is done here, each other by a thread of its own: a pool would wait for who hangs when the process ends.
    """
    done: list[T | None] = [None] * len(works)
    failed: list[BaseException] = []

    def do(at: int) -> None:
        try:
            done[at] = works[at]()
        except BaseException as error:  # noqa: BLE001  raised again where it is waited for
            failed.append(error)

    others = [threading.Thread(target=do, args=(at,), daemon=True) for at in range(1, len(works))]
    for other in others:
        other.start()
    if works:
        do(0)
    for other in others:
        other.join()
    if failed:
        raise failed[0]
    return done  # type: ignore[return-value]  # all of it is there
