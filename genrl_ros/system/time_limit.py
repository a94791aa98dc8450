"""Work that may never end, such as opening a file on a network drive that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar('Result')


def within(seconds: float, what: str, work: Callable[[], Result]) -> Result:
    """The result of `work`, which is waited for so long and no longer.

    It runs in a thread of its own. One that is stuck stays behind and does not keep the process
    from ending.

    Args:
        seconds: how long to wait.
        what: is done, for the message of the error.
        work: to be done; what it raises is raised here.

    Raises:
        TimeoutError: if it has not ended by then.
    """
    done: Future[Result] = Future()

    def do() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=do, daemon=True).start()
    try:
        return done.result(seconds)
    except TimeoutError:
        if done.done():  # just now, or it has raised this itself
            return done.result()
        raise TimeoutError(f'{what} takes longer than {seconds:g} s') from None
