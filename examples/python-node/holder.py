"""The holder of a key: START, compare, publish row after row, as the log says (section 11, steps 4 to 8)."""

import asyncio
from collections.abc import Callable, Sequence

from calls import Refusal, pause_seconds
from feed import Feed
from identity import float64s
from leases import KeyLease, Leases
from qmtl.data.v1 import queue_data_service_pb2 as data_pb2
from qmtl.data.v1 import queue_record_pb2
from queues import Queue
from session import Session

#: A record that has not appeared in this process's own fold after this time is sent again.
RESEND_SECONDS = 1.0
#: Largest number of rows in one record of a computed key.
RUN_ROWS = 64


class Diverged(Exception):
    """The log differs in a bit from what this process computes. It publishes nothing; the log is never corrected."""


class Holder:
    """Publishes the rows of one key for as long as it holds the lease; otherwise it stands by."""

    def __init__(
        self,
        name: str,
        session: Session,
        leases: Leases,
        queue: Queue,
        feed: Feed,
        *,
        build: str,
        warm_from_row: int,
        values_at: Callable[[int], Sequence[float]],
        upstreams: Sequence[Queue],
        fingerprint: str = "",
    ) -> None:
        self.name = name
        self.queue = queue
        self.lease: KeyLease = leases.want(queue.compute_key, build)
        self._session = session
        self._leases = leases
        self._feed = feed
        self._warm_from_row = warm_from_row
        self._values_at = values_at
        self._upstreams = upstreams
        #: Fingerprint of a source's data; empty for a computed key.
        self._fingerprint = fingerprint
        self._is_stopping = False
        for upstream in upstreams:
            upstream.listeners.append(queue.wake)

    @property
    def _is_source(self) -> bool:
        return self._fingerprint != ""

    @property
    def _is_mine(self) -> bool:
        return self.lease.epoch > 0 and self.queue.fold.epoch == self.lease.epoch

    async def hold(self) -> None:
        """Runs for ever: waits for the lease, claims the key, publishes until the lease is gone."""
        await self.queue.is_read.wait()
        while True:
            await self.lease.granted.wait()
            if not await self._claim():
                continue
            self._compare()
            print(f"holding   {self.name}, epoch {self.lease.epoch}, from row {self.queue.fold.next_row}", flush=True)
            await self._publish_rows()

    def stop(self) -> None:
        """Publishes no new record from now on."""
        self._is_stopping = True

    async def _claim(self) -> bool:
        """Sends START until this process's own fold shows it: only then is the log before it final."""
        start = queue_record_pb2.Start(build=self.lease.build, feed_fingerprint=self._fingerprint)
        if not self.lease.has_origin:
            start.origin.row, start.origin.warm_from_row = self._feed.first_row, self._warm_from_row
        record = queue_record_pb2.QueueRecord(
            compute_key=self.queue.compute_key, lease_epoch=self.lease.epoch, start=start
        )
        while not self._is_mine:
            if self.lease.epoch == 0 or self.queue.fold.epoch > self.lease.epoch:
                self._leases.lost(self.lease)
                return False
            await self._send(record)
        return True

    def _compare(self) -> None:
        """Raises Diverged unless the log's rows equal those computed here, bit for bit."""
        for row, values in self.queue.rows.items():
            if float64s(values) != float64s(self._values_at(row)):
                raise Diverged(f"{self.name}, row {row}: the log has {values}")

    async def _publish_rows(self) -> None:
        while self._is_mine:
            record = None if self._is_stopping or not self.lease.is_usable else self._next_record()
            if record is None:
                await self.queue.changed(RESEND_SECONDS)
            else:
                await self._send(record)
        if self.lease.epoch > 0:
            self._leases.lost(self.lease)

    def _next_record(self) -> queue_record_pb2.QueueRecord | None:
        """The next record after the fold's last one; None while there is no input to compute it from."""
        fold = self.queue.fold
        if fold.ended:
            return None
        record = queue_record_pb2.QueueRecord(
            compute_key=self.queue.compute_key, lease_epoch=self.lease.epoch, seq=fold.next_seq
        )
        first = fold.next_row
        if self._is_source:
            until = min(first + 1, len(self._feed))  # one row at a time, as the barrier may hold it back
            is_end = first >= len(self._feed)
        else:
            # Only effective rows of the upstream.
            until = min(first + RUN_ROWS, *(queue.fold.next_row for queue in self._upstreams))
            is_end = all(queue.fold.ended and first >= queue.fold.next_row for queue in self._upstreams)
        if is_end:
            record.end.reason = queue_record_pb2.END_REASON_DATA_END
            return record
        if until <= first:
            return None
        record.rows.CopyFrom(self._rows(first, until))
        return record

    def _rows(self, first: int, until: int) -> queue_record_pb2.Rows:
        span = range(first, until)
        ends = [float(self._feed.end_ms[row]) for row in span]
        known = self.queue.fold.known_at_ms
        values = [self._values_at(row) for row in span]
        return queue_record_pb2.Rows(
            row=first,
            count=len(span),
            bucket_end_ms=float64s(ends),
            known_at_ms=float64s(max(end, known) for end in ends),
            columns=[float64s(column) for column in zip(*values, strict=True)],
            input_seq=[queue.seq_of[row] for row in span for queue in self._upstreams],
        )

    async def _send(self, record: queue_record_pb2.QueueRecord) -> None:
        """Publishes once, then waits for the fold to take the record. The log decides, not the answer or its loss."""
        before = self.queue.fold.next_seq, self.queue.fold.epoch
        request = data_pb2.PublishRequest(records=[record])
        try:
            response = await self._session.once(self._session.gateway.data.Publish, request, 20.0)
        except Refusal as refusal:
            if refusal.reason == "BARRIER_HELD":
                return  # nothing is wrong: the same record again
            if not refusal.is_passing:
                raise
            await asyncio.sleep(refusal.retry_seconds or pause_seconds(2))
            return
        (result,) = response.results
        if not result.effective:
            fault = queue_record_pb2.RecordFault.Name(result.fault).removeprefix("RECORD_FAULT_")
            if fault not in ("HELD", "STALE_EPOCH", "START_NOT_NEWER", "REPEATED_SEQ", "FUTURE_SEQ", "LEASE_MISSING"):
                raise Diverged(f"{self.name}: the log refuses a record: {fault}")
        if (self.queue.fold.next_seq, self.queue.fold.epoch) == before:
            await self.queue.changed(RESEND_SECONDS if result.effective else 0.25)

