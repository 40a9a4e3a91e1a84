"""Cuts an open text into blocks of whole words, and reads them ahead of who scans them."""

from collections.abc import Generator, Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

from w2vfast.errors import InputError
from w2vfast.inputs import TextInput

Block = TypeVar("Block")

MAX_WORD_BYTES = 1 << 30  # a longer 'word' means that the input is not text, and must not fill the memory


def whole_words(text: TextInput, block_size: int) -> Generator[tuple[bytes, int], None, None]:
    """Yield the text in blocks that are cut at white space, each with the position on disk that it reaches.

    A block may be longer than `block_size` where a word is. Raises InputError for a word of more than 1 GiB.
    """
    unfinished: list[bytes] = []
    length = 0
    while block := text.read(block_size):
        last = b"" if block[-1:].isspace() else block.rsplit(None, 1)[-1]
        if len(last) < len(block):
            yield b"".join([*unfinished, block[: len(block) - len(last)]]), text.position()
            unfinished, length = [], 0
        if last:
            unfinished.append(last)
            length += len(last)
            if length > MAX_WORD_BYTES:
                raise InputError(f"{text.name} has a word of more than 1 GiB: is it text with spaces?")
    yield b"".join(unfinished), text.position()


def read_ahead(blocks: Iterator[Block], ahead: int = 2) -> Generator[Block, None, None]:
    """Yield from `blocks`, which a thread runs up to `ahead` blocks in front: what makes them goes on meanwhile.

    What `blocks` raises is raised here.
    """
    queue: Queue[Block | BaseException | None] = Queue(ahead)
    stopped = Event()

    def put(item: Block | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                queue.put(item, timeout=0.1)
                return
            except Full:
                pass

    def run() -> None:
        try:
            for block in blocks:
                put(block)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = Thread(target=run, name="w2vfast-reader", daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = queue.get(timeout=0.1)  # a wait without limit would not see Ctrl-C on every system
            except Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        # Not for ever: the thread may be blocked in a read from a terminal or a pipe.
        thread.join(timeout=1)
