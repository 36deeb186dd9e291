"""A compute node, step by step (section 11): ties the parts together, and ends each row."""

import asyncio
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any

from calls import Gateway, Refusal, pause_seconds
from context import Context, build_of
from feed import Feed
from holder import Holder
from identity import compute_key, ids_crc32, source_key
from leases import Leases
from qmtl.dagmanager.v1 import queue_service_pb2 as queue_pb2
from qmtl.gateway.v1 import gateway_service_pb2 as gateway_pb2
from qmtl.gateway.v1 import order_service_pb2
from qmtl.graph.v1 import submission_pb2
from qmtl.order.v1 import target_pb2
from qmtl.type.v1 import execution_pb2
from queues import Queue
from session import Session
from strategy import INSTRUMENT, NAME, Strategy, timestamp_of
from swaps import Swaps

PAGE = 1_000


class Node:
    """Computes the strategy in one world: publishes the rows of its source and its nodes, ends rows, states targets."""

    def __init__(self, gateway: Gateway, world_id: str, source: str, feed: Feed) -> None:
        self.gateway = gateway
        self.world_id = world_id
        self.feed = feed
        self.strategy = Strategy(source, feed)
        #: Last row that was ended; −1 before the first.
        self.ended_row = -1
        #: Weight and fence of the target that was accepted last.
        self._stated: tuple[float, int] | None = None
        self._is_armed = False
        self._must_repeat = False
        self._is_registered = False
        self._stirred = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # -- from submission to the first row --------------------------------------------------------------------------

    async def run(self, stopped: asyncio.Event) -> None:
        """Runs until it is stopped, or a call is refused for good."""
        submission = await self._submit()
        strategy_id = submission.strategy_id
        keys = await self._assigned_keys(submission.submission_id)
        self._check_keys(keys)
        self.session = Session(self.gateway, self.world_id, strategy_id, self.strategy.source_name)
        await self.session.ticket()
        print(f"session   {self.session.session_id}", flush=True)
        self.leases = Leases(self.session)
        self.source = Queue(self.gateway, keys[self.strategy.source.node_id])
        self.source.listeners.append(self._stir)
        self.source_holder = Holder(
            "source",
            self.session,
            self.leases,
            self.source,
            self.feed,
            build=build_of(self.strategy.source),
            warm_from_row=self.feed.first_row,
            values_at=lambda row: self.feed.values[row],
            upstreams=[],
            fingerprint=self.feed.fingerprint,
        )
        context = self._open_context(keys)
        self.swaps = Swaps(
            self.session, self.source, context, self._open_context, lambda: self.ended_row, self._stir
        )
        self.session.on_gate = self._gate_changed
        self.session.on_swap = self.swaps.take
        self.session.on_decided = self.swaps.decided
        self.session.on_reconnected = self._repeat
        self.session.on_unregistered = self._unregistered
        for work in (
            self.session.follow(),
            self.session.beat(),
            self.leases.acquire(),
            self.leases.renew(),
            self.source.follow(),
            self.source_holder.hold(),
            self.swaps.answer(),
            self._end_rows(),
        ):
            self._start(work)
        stopping = asyncio.create_task(stopped.wait())
        stopping.add_done_callback(lambda _: self._end_with(None))
        try:
            await self._over
        finally:
            stopping.cancel()
            await self._leave()

    async def _submit(self) -> submission_pb2.Submission:
        strategy = self.strategy
        pin = execution_pb2.SourcePin(source=strategy.source_name, fingerprint=self.feed.fingerprint)
        request = gateway_pb2.SubmitStrategyRequest(
            request_id=str(uuid.uuid4()),
            strategy_name=NAME,
            world_ids=[self.world_id],
            pins=[pin],
            backtest=strategy.backtest(),
        )
        request.graph.nodes.extend(strategy.nodes)
        request.graph.node_ids_crc32 = ids_crc32(strategy.nodes)
        request.targets.add(node_id=strategy.target.node_id, instrument=INSTRUMENT, max_weight=1.0)
        submissions = self.gateway.submissions
        answer: gateway_pb2.SubmitStrategyResponse = await self.gateway.call(submissions.SubmitStrategy, request)
        submission = answer.submission
        while submission.state not in (
            submission_pb2.SUBMISSION_STATE_COMPLETED,
            submission_pb2.SUBMISSION_STATE_FAILED,
        ):
            watch = gateway_pb2.WatchSubmissionRequest(submission_id=submission.submission_id)
            try:
                async for response in self.gateway.stream(submissions.WatchSubmission, watch, 60.0):
                    submission = response.submission
            except (Refusal, TimeoutError):
                await asyncio.sleep(pause_seconds(1))
        if submission.state == submission_pb2.SUBMISSION_STATE_FAILED:
            raise RuntimeError(f"the submission failed: {submission.state_reason}")
        counts = f"{submission.new_nodes} nodes new, {submission.reused_nodes} reused"
        print(f"submitted {submission.strategy_id}: {counts}", flush=True)
        return submission

    async def _assigned_keys(self, submission_id: str) -> dict[str, str]:
        """Compute key by node, in the context that the strategy is in now."""
        keys: dict[str, str] = {}
        request = gateway_pb2.ListNodeAssignmentsRequest(
            submission_id=submission_id, world_id=self.world_id, page_size=PAGE
        )
        while True:
            page = await self.gateway.call(self.gateway.submissions.ListNodeAssignments, request)
            keys.update((each.queue.node_id, each.queue.compute_key) for each in page.assignments)
            request.page_token = page.next_page_token
            if page.next_page_token == "":
                return keys

    def _check_keys(self, keys: Mapping[str, str]) -> None:
        """Checks that the platform makes our keys: of the source, and of our node in a domain that pins data."""
        own = self.strategy.momentum.node_id
        domains = ("backtest", "dryrun")
        expected = {compute_key(own, self.world_id, domain, self.feed.fingerprint) for domain in domains}
        source = self.strategy.source.node_id
        if keys[source] != source_key(source) or keys[own] not in expected:
            raise RuntimeError("the platform makes other compute keys")

    def _open_context(self, keys: Mapping[str, str]) -> Context:
        context = Context(self.strategy, self.session, self.leases, self.source, keys, self._stir)
        context.start(self._start)
        return context

    # -- the end of each row ---------------------------------------------------------------------------------------

    async def _end_rows(self) -> None:
        """Registers once warm, then ends one row after another, for ever."""
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            if not self._is_registered and self._is_warm():
                await self._register()
            while self._is_registered and self._next_row() is not None:
                await self._end(self._next_row() or 0)
                self.swaps.moved()
            if self._must_repeat and self.ended_row >= 0:
                self._must_repeat = False
                await self._end(self.ended_row)

    def _is_warm(self) -> bool:
        """True when every source row in the log is computed and published."""
        return self.source.fold.epoch > 0 and self.swaps.current.last_row >= self.source.last_row

    async def _register(self) -> None:
        """Registers as a runner: from now on the feed waits for this session."""
        request = queue_pb2.CreateReplayRunnerRequest(sources=[self.strategy.source_name])
        await self.session.call(self.gateway.queues.CreateReplayRunner, request)
        self._is_registered = True
        if self.ended_row < 0 and self.source.last_row > self.feed.first_row:
            self.ended_row = self.source.last_row - 1  # joins at the row that is current
        print(f"warm      up to row {self.source.last_row}; the feed waits for this node", flush=True)

    def _next_row(self) -> int | None:
        """The row to end next: an effective one that no swap holds back; None while there is none."""
        row = max(self.ended_row + 1, self.feed.first_row)
        return row if row <= self.source.last_row and self.swaps.may_end(row) else None

    async def _end(self, row: int) -> None:
        """Ends a row, with the target if it has to be stated; repeats the call until it is answered."""
        failures = 0
        while True:
            ticket = await self.session.ticket()
            # Nothing else runs between the check and the write.
            request = self._update(row, ticket)
            try:
                response = await self.gateway.once(self.gateway.orders.SetTargets, request)
                break
            except Refusal as refusal:
                if not refusal.is_passing:
                    raise
                failures += 1
                await asyncio.sleep(refusal.retry_seconds or pause_seconds(failures))
        self.ended_row = max(row, self.ended_row)
        for target, result in zip(request.update.targets, response.results, strict=True):
            self._answered(row, target.weight, request.update.claim.fence, result)

    def _update(self, row: int, ticket: str) -> order_service_pb2.SetTargetsRequest:
        gate = self.session.gate
        weight = self.strategy.weight_at(row)
        claim = gate.open_claim()
        is_stated = claim is None or self._stated == (weight, claim.fence)
        update = target_pb2.TargetUpdate(
            claim=gate.shut_claim() if claim is None else claim,
            ends=[target_pb2.FeedRow(source=self.strategy.source_name, row=row)],
            strategy_ids=[self.session.strategy_id],
        )
        if not is_stated:
            target = target_pb2.Target(
                strategy_id=self.session.strategy_id,
                instrument=INSTRUMENT,
                weight=weight,
                row=row,
                bucket_end_time=timestamp_of(self.feed.end_ms[row]),
            )
            update.targets.append(target)
        return order_service_pb2.SetTargetsRequest(ticket=ticket, update=update)

    def _answered(self, row: int, weight: float, fence: int, result: target_pb2.TargetResult) -> None:
        if result.accepted:
            self._stated = (weight, fence)
            print(f"target    {weight:g}, {len(result.client_order_ids)} orders  (row {row})", flush=True)
            return
        print(f"target    {weight:g} not accepted: reason {result.reason}  (row {row})", flush=True)
        # The obstacle may pass: an event of the gate, or a lease, may be on its way.
        asyncio.get_running_loop().call_later(1.0, self._repeat)

    # -- what happens meanwhile ------------------------------------------------------------------------------------

    def _stir(self) -> None:
        self._stirred.set()
        if hasattr(self, "swaps"):
            self.swaps.moved()

    def _repeat(self) -> None:
        """Ends the last row once more, with the target if it has to be stated."""
        self._must_repeat = True
        self._stir()

    def _gate_changed(self) -> None:
        is_armed = self.session.gate.open_claim() is not None
        if is_armed == self._is_armed:
            return
        self._is_armed = is_armed
        mode = self.session.gate.mode
        print(f"gate      {'opened: orders may leave' if is_armed else 'shut'} ({mode})", flush=True)
        if is_armed:
            self._stated = None
            self._repeat()

    def _unregistered(self, sources: list[str]) -> None:
        print(f"dropped   by {', '.join(sources)}; registers again", flush=True)
        self._is_registered = False
        self._stir()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts background work; an exception in it ends the node."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._end_with(error)

    def _end_with(self, error: BaseException | None) -> None:
        if self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)

    async def _leave(self) -> None:
        """Step 12: publishes no new source row, leaves the feed, gives up leases, and reports the session's end."""
        self.source_holder.stop()
        for _ in range(10):
            if self.swaps.current.last_row < self.source.last_row:
                await asyncio.sleep(0.1)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            queues = self.gateway.queues
            await self.session.once(queues.DeleteReplayRunner, queue_pb2.DeleteReplayRunnerRequest())
            leases = [holder.lease for holder in (self.source_holder, *self.swaps.current.holders)]
            await self.leases.release(leases, queue_pb2.RELEASE_REASON_STOP)
            await self.session.heartbeat(release=True)
        except Refusal as refusal:
            print(f"not all was given back: {refusal.reason}; it runs out by itself", flush=True)
