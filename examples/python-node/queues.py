"""The log of one compute key as a reader sees it: the fold, and what is in it (section 10)."""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass

from calls import Gateway, Refusal, pause_seconds
from qmtl.data.v1 import queue_data_service_pb2 as data_pb2
from qmtl.data.v1 import queue_record_pb2

#: A stream that is silent for this long is lost: an empty message comes every 2 s.
SILENCE_SECONDS = 6.0


class LogDiffers(Exception):
    """The log does not continue where the fold stands: a record is missing or duplicated."""


@dataclass
class Fold:
    """State after reading the log of a key so far."""

    epoch: int = 0
    next_seq: int = 0
    next_row: int = 0
    known_at_ms: float = float("-inf")
    ended: bool = False


class Queue:
    """Follows one key: its fold, and the values of its rows."""

    def __init__(self, gateway: Gateway, compute_key: str) -> None:
        self.gateway = gateway
        self.compute_key = compute_key
        self.fold = Fold()
        #: Values by row.
        self.rows: dict[int, tuple[float, ...]] = {}
        #: Seq of each row.
        self.seq_of: dict[int, int] = {}
        self.is_read = asyncio.Event()
        #: Called when the fold has moved, and when the holder of this key is to look again.
        self.listeners: list[Callable[[], None]] = []
        self._changed = asyncio.Event()

    @property
    def last_row(self) -> int:
        return self.fold.next_row - 1

    async def changed(self, seconds: float) -> None:
        """Waits until the fold moves, or the time is over."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            pass

    def wake(self) -> None:
        self._changed.set()
        for listener in self.listeners:
            listener()

    async def read(self) -> None:
        """Reads what is in the log now."""
        while not self.is_read.is_set():
            try:
                await self._consume(history_only=True)
                self.is_read.set()
            except (Refusal, TimeoutError) as failure:
                await self._pause(failure, 1)

    async def follow(self) -> None:
        """Reads the history, then new records as they come; reconnects after cuts."""
        await self.read()
        failures = 0
        while True:
            before = self.fold.next_seq
            try:
                await self._consume(history_only=False)
            except (Refusal, TimeoutError) as failure:
                failures = 1 if self.fold.next_seq > before else failures + 1
                await self._pause(failure, failures)

    async def _consume(self, *, history_only: bool) -> None:
        position = data_pb2.ConsumeFrom(compute_key=self.compute_key, from_seq=self.fold.next_seq)
        request = data_pb2.ConsumeRequest(keys=[position], history_only=history_only)
        async for response in self.gateway.stream(self.gateway.data.Consume, request, SILENCE_SECONDS):
            for record in response.records:
                self._take(record)
            if response.records:
                self.wake()

    async def _pause(self, failure: Exception, failures: int) -> None:
        if isinstance(failure, Refusal) and failure.reason == "RESUME_FROM":
            return  # this reader was too slow: resumes at once from its next seq
        if isinstance(failure, Refusal) and not failure.is_passing and not failure.reason == "CANCELLED":
            raise failure
        await asyncio.sleep(pause_seconds(failures))

    def _take(self, record: queue_record_pb2.QueueRecord) -> None:
        """Takes a record. Consume sends effective records only; drops those that this reader has already."""
        fold = self.fold
        body = record.WhichOneof("body")
        if body == "start":
            if record.lease_epoch <= fold.epoch:
                return
            if fold.epoch == 0 and record.start.HasField("origin"):
                fold.next_row = record.start.origin.row
            fold.epoch, fold.ended = record.lease_epoch, False
            return
        length = record.rows.count if body == "rows" else 1
        if record.seq + length <= fold.next_seq:
            return
        if record.lease_epoch != fold.epoch or record.seq > fold.next_seq or fold.ended:
            raise LogDiffers(f"{self.compute_key}: seq {record.seq} of epoch {record.lease_epoch} after {fold}")
        if body == "rows":
            self._take_rows(record, skip=fold.next_seq - record.seq)
        elif body == "empty":
            fold.next_row = record.empty.to_row + 1
        elif body == "end":
            fold.ended = True
        fold.next_seq = record.seq + length

    def _take_rows(self, record: queue_record_pb2.QueueRecord, skip: int) -> None:
        rows = record.rows
        columns = [struct.unpack(f"<{rows.count}d", column) for column in rows.columns]
        if rows.row + skip != self.fold.next_row:
            raise LogDiffers(f"{self.compute_key}: row {rows.row + skip} after {self.fold}")
        for at in range(skip, rows.count):
            self.rows[rows.row + at] = tuple(column[at] for column in columns)
            self.seq_of[rows.row + at] = record.seq + at
        self.fold.next_row = rows.row + rows.count
        self.fold.known_at_ms = struct.unpack_from("<d", rows.known_at_ms, 8 * (rows.count - 1))[0]
