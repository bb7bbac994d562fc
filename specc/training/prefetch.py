"""Items made in a thread of their own, a little ahead of their use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.1


class _End:
    """Follows the last item, with what went wrong if anything did."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetched(items: Iterable[T], ahead: int = 2) -> Iterator[T]:
    """The same items in the same order; an error that making one raises is raised here.

    The thread ends with the iterator, be it exhausted, closed or dropped.
    """
    queue: Queue[T | _End] = Queue(ahead)
    stop = Event()
    thread = Thread(target=_fill, args=(items, queue, stop), name="prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        thread.join()


def _fill(items: Iterable[T], queue: Queue[T | _End], stop: Event) -> None:
    def put(item: T | _End) -> bool:
        while not stop.is_set():
            try:
                queue.put(item, timeout=POLL_SECONDS)
            except Full:
                continue
            return True
        return False

    end = _End()
    try:
        for item in items:
            if not put(item):
                return
    except BaseException as error:
        end = _End(error)
    put(end)
