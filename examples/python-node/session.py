"""A session: its ticket, the control stream with resume, and heartbeats with the order lease (sections 7 to 9)."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from calls import Gateway, Refusal, pause_seconds
from clocks import Usable, read_clocks, seconds_of
from gate import OrderGate, OrderLease, state_hash
from qmtl.control.v1 import context_swap_pb2, control_event_pb2, gate_pb2, session_pb2
from qmtl.gateway.v1 import control_stream_service_pb2 as stream_pb2
from qmtl.type.v1 import access_pb2

SILENCE_SECONDS = 6.0
RECONNECT_SECONDS = (1.0, 8.0)
RENEW_SECONDS = 2.0
#: A ticket with less life left is refreshed.
TICKET_LEFT_SECONDS = 30.0


class MustResubscribe(Exception):
    """The next event does not follow what was applied of a topic key: it needs a snapshot."""

    def __init__(self, topic_key: str, why: str) -> None:
        super().__init__(f"{topic_key}: {why}")
        self.topic_key = topic_key


class Session:
    """One start of this process in one world, for one strategy."""

    def __init__(self, gateway: Gateway, world_id: str, strategy_id: str, source: str) -> None:
        self.gateway = gateway
        self.world_id = world_id
        self.strategy_id = strategy_id
        self.source = source
        self.gate = OrderGate(strategy_id)
        self.session_id = ""
        #: Called after the gate or the lease may have changed.
        self.on_gate: Callable[[], None] = lambda: None
        #: Called with each phase of each swap of the strategy, in order.
        self.on_swap: Callable[[context_swap_pb2.ContextSwap], None] = lambda _: None
        #: Called when no swap is under way, with the keys in force by node: a swap may have been decided meanwhile.
        self.on_decided: Callable[[dict[str, str]], None] = lambda _: None
        #: Called when the stream is connected again after a loss.
        self.on_reconnected: Callable[[], None] = lambda: None
        #: Called with the feeds that dropped this session.
        self.on_unregistered: Callable[[list[str]], None] = lambda _: None
        self._ticket = ""
        self._ticket_ends = 0.0
        self._asking = asyncio.Lock()
        self._applied: dict[str, tuple[int, int]] = {}
        self._heartbeat_seq = 0
        self._renew_seconds = RENEW_SECONDS
        self._refused = session_pb2.REFUSE_REASON_UNSPECIFIED
        self._beat_now = asyncio.Event()
        self._resubscribe = asyncio.Event()

    # -- the ticket ------------------------------------------------------------------------------------------------

    async def ticket(self) -> str:
        """A ticket that is still valid for a while. The first one names the session for the life of the process."""
        async with self._asking:
            if self._ticket_ends - time.time() > TICKET_LEFT_SECONDS:
                return self._ticket
            control = self.gateway.control
            if self._ticket_ends > time.time():
                renewed = await self.gateway.call(
                    control.RefreshTicket, stream_pb2.RefreshTicketRequest(ticket=self._ticket)
                )
            else:
                renewed = await self.gateway.call(control.IssueTicket, self._wanted_ticket())
                self.session_id = renewed.session_id
            self._ticket, self._ticket_ends = renewed.ticket, renewed.expire_time.ToMilliseconds() / 1_000
            return self._ticket

    def _wanted_ticket(self) -> stream_pb2.IssueTicketRequest:
        return stream_pb2.IssueTicketRequest(
            world_id=self.world_id,
            strategy_ids=[self.strategy_id],
            sources=[self.source],
            rights=[
                access_pb2.TICKET_RIGHT_OBSERVE,
                access_pb2.TICKET_RIGHT_COMPUTE,
                access_pb2.TICKET_RIGHT_TRADE,
                access_pb2.TICKET_RIGHT_FEED,
            ],
            topics=[control_event_pb2.TOPIC_GATE, control_event_pb2.TOPIC_QUEUE],
            session_id=self.session_id,
            origin=session_pb2.SessionOrigin(process=f"{socket.gethostname()}:{os.getpid()}"),
        )

    async def once(self, method: Any, request: Any, seconds: float = 10.0) -> Any:
        """Calls once under the ticket, and once more with a new ticket if that one is refused. Raises Refusal."""
        request.ticket = await self.ticket()
        try:
            return await self.gateway.once(method, request, seconds)
        except Refusal as refusal:
            if not refusal.is_of_ticket:
                raise
        self._ticket_ends = 0.0
        request.ticket = await self.ticket()
        return await self.gateway.once(method, request, seconds)

    async def call(self, method: Any, request: Any, seconds: float = 10.0) -> Any:
        """Repeats the call until it is answered, or refused for good."""
        failures = 0
        while True:
            try:
                return await self.once(method, request, seconds)
            except Refusal as refusal:
                if not refusal.is_passing:
                    raise
                failures += 1
                await asyncio.sleep(refusal.retry_seconds or pause_seconds(failures))

    # -- the control stream ----------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Reads the control stream for ever; reconnects after cuts."""
        failures = 0
        is_lost = False
        while True:
            try:
                async for response in self._subscription():
                    if is_lost:
                        print("connected again", flush=True)
                        self.on_reconnected()
                    failures, is_lost = 0, False
                    self._take(response.event)
                    if self._resubscribe.is_set():
                        raise MustResubscribe(f"world/{self.world_id}/gate", "the platform knows another state")
            except MustResubscribe as gap:
                self._applied.pop(gap.topic_key, None)
                self._resubscribe.clear()
                continue
            except Refusal as refusal:
                if refusal.is_of_ticket:  # a stream ends when its ticket expires: that is no failure
                    self._ticket_ends = 0.0
                    continue
                why = str(refusal)
            except TimeoutError:
                why = f"silent for {SILENCE_SECONDS:g} s"
            else:
                why = "the stream ended"
            failures += 1
            if not is_lost:
                print(f"lost the gateway: {why.splitlines()[0]}", flush=True)
            is_lost = True
            await asyncio.sleep(pause_seconds(failures, *RECONNECT_SECONDS))

    async def _subscription(self) -> Any:
        applied = [
            stream_pb2.LastApplied(topic_key=key, store_epoch=epoch, revision=revision)
            for key, (epoch, revision) in self._applied.items()
        ]
        request = stream_pb2.SubscribeRequest(ticket=await self.ticket(), last_applied=applied)
        async for response in self.gateway.stream(self.gateway.control.Subscribe, request, SILENCE_SECONDS):
            yield response

    def _take(self, event: control_event_pb2.ControlEvent) -> None:
        """Applies each event of a topic key once, in order; raises MustResubscribe at a gap."""
        payload = event.WhichOneof("payload")
        if event.topic_key == "":
            return  # a progress mark
        if payload != "snapshot":
            epoch, revision = self._applied.get(event.topic_key, (event.store_epoch, 0))
            if event.store_epoch != epoch or event.revision > revision + 1:
                raise MustResubscribe(event.topic_key, f"revision {event.revision} after {revision}")
            if event.revision <= revision:
                return
        if payload == "snapshot":
            self._take_snapshot(event.snapshot, event.topic_key)
        elif payload == "gate_event":
            self._take_gate(event.gate_event.state, event.topic_key)
        elif payload == "swap_updated":
            self._take_swap(event.swap_updated)
        if event.revision > 0:
            self._applied[event.topic_key] = (event.store_epoch, event.revision)
        else:
            self._applied.pop(event.topic_key, None)

    def _take_snapshot(self, snapshot: control_event_pb2.Snapshot, topic_key: str) -> None:
        if snapshot.HasField("gate"):
            self._take_gate(snapshot.gate, topic_key)
        elif snapshot.HasField("queues"):
            swaps = [swap for swap in snapshot.queues.swaps if swap.strategy_id == self.strategy_id]
            for swap in swaps:
                self._take_swap(swap)
            for strategy in snapshot.queues.strategies:
                if strategy.strategy_id == self.strategy_id and not swaps:
                    self.on_decided({queue.node_id: queue.compute_key for queue in strategy.queues})

    def _take_gate(self, state: gate_pb2.GateState, topic_key: str) -> None:
        try:
            is_intact = state_hash(state, None) == state.state_hash
        except KeyError:
            is_intact = False
        if not is_intact:
            self.gate.forget()
            asyncio.get_running_loop().create_task(self._nack(state))
            raise MustResubscribe(topic_key, "the state cannot be believed")
        self.gate.follow(state)
        self._beat_now.set()
        self.on_gate()

    def _take_swap(self, swap: context_swap_pb2.ContextSwap) -> None:
        # The topic carries the swaps of every strategy of the world.
        if swap.strategy_id == self.strategy_id:
            self.on_swap(swap)

    async def _nack(self, state: gate_pb2.GateState) -> None:
        nack = session_pb2.Nack(
            heartbeat_seq=self._heartbeat_seq,
            revision=state.revision,
            fence=state.fence,
            run_id=state.run_id,
            reason=session_pb2.NACK_REASON_HASH_MISMATCH,
        )
        try:
            await self.once(self.gateway.control.Nack, stream_pb2.NackRequest(nack=nack))
        except Refusal:
            pass  # the lease is dropped in any case

    # -- heartbeats ------------------------------------------------------------------------------------------------

    async def beat(self) -> None:
        """Sends heartbeats for ever: at once after a revision of the gate, otherwise at the platform's interval."""
        while True:
            try:
                await asyncio.wait_for(self._beat_now.wait(), self._renew_seconds)
            except TimeoutError:
                pass
            self._beat_now.clear()
            try:
                await self.heartbeat()
            except Refusal as refusal:
                if not refusal.is_passing:
                    print(f"heartbeat refused: {refusal}", flush=True)
            self.on_gate()

    async def heartbeat(self, *, release: bool = False) -> None:
        """Sends one heartbeat, never repeated. It states what was applied; a grant counts from before it was sent."""
        state = self.gate.state
        if release:
            self.gate.lease = None  # from now on no order can leave
        self._heartbeat_seq += 1
        heartbeat = session_pb2.Heartbeat(
            heartbeat_seq=self._heartbeat_seq,
            gate_shut=not self.gate.holds_lease,
            want_lease=not release,
            release=release,
        )
        if state is not None:
            heartbeat.store_epoch, heartbeat.revision, heartbeat.fence = state.store_epoch, state.revision, state.fence
            heartbeat.state_hash = state_hash(state, {self.strategy_id})
        asked = read_clocks()
        request = stream_pb2.HeartbeatRequest(heartbeat=heartbeat)
        response = await self.once(self.gateway.control.Heartbeat, request, 4.0)
        reply = response.reply
        self._renew_seconds = seconds_of(reply.renew_interval) or self._renew_seconds
        if not release:
            self._tell_refusal(reply.refuse_reason)
        if reply.granted:
            lasts = min(seconds_of(reply.lease), seconds_of(reply.decision_remaining)) - seconds_of(reply.margin)
            emits = frozenset(each.strategy_id for each in reply.emitters if each.session_id == self.session_id)
            self.gate.grant(OrderLease(reply.lease_id, reply.fence, Usable(asked, lasts), emits))
        elif reply.refuse_reason in (session_pb2.REFUSE_REASON_BEHIND, session_pb2.REFUSE_REASON_HASH_MISMATCH):
            # Events may be on their way; at the latest, the next message of the stream leads to a new snapshot.
            self._resubscribe.set()
        if response.unregistered_sources:
            self.on_unregistered(list(response.unregistered_sources))

    def _tell_refusal(self, reason: session_pb2.RefuseReason.ValueType) -> None:
        """Prints once why there is no order lease."""
        if reason not in (self._refused, session_pb2.REFUSE_REASON_UNSPECIFIED):
            name = session_pb2.RefuseReason.Name(reason).removeprefix("REFUSE_REASON_")
            print(f"lease     not granted: {name}", flush=True)
        self._refused = reason
