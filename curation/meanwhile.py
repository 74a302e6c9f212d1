"""What the driver does while it waits for Ray, which takes seconds to start and leaves the machine's cores idle."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

Chore = Callable[[], object]


@contextlib.contextmanager
def doing_meanwhile(chores: Iterable[Chore]) -> Iterator[None]:
    """Do chores, one after the other and as many as there is time for, while the block waits for something.

    The last one begun is ended after the block. What a chore raises ends the others, and is raised there.
    """
    ended = threading.Event()

    def work() -> None:
        waiting = iter(chores)
        # Asked for only when it will be done: whoever takes up what is left finds it there.
        while not ended.is_set() and (chore := next(waiting, None)):
            chore()

    with ThreadPoolExecutor(1) as aside:
        working = aside.submit(work)
        try:
            yield
        finally:
            ended.set()
    working.result()
