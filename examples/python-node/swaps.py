"""Promotion: a swap of compute contexts, phase by phase (section 12)."""

import asyncio
from collections.abc import Callable, Mapping

from calls import Refusal
from context import Context
from qmtl.control.v1 import context_swap_pb2
from qmtl.dagmanager.v1 import queue_service_pb2 as queue_pb2
from queues import Queue
from session import Session

OPENING = context_swap_pb2.SWAP_PHASE_OPENING
PREPARE = context_swap_pb2.SWAP_PHASE_PREPARE
COMMIT = context_swap_pb2.SWAP_PHASE_COMMIT
ABORTED = context_swap_pb2.SWAP_PHASE_ABORTED

#: Phase, from_row and warm row of an answer.
Answer = tuple[context_swap_pb2.SwapPhase.ValueType, int, int]


class Swaps:
    """The context that rows are taken from: the one in force and, during a swap, the new one opened beside it."""

    def __init__(
        self,
        session: Session,
        source: Queue,
        current: Context,
        open_context: Callable[[Mapping[str, str]], Context],
        ended_row: Callable[[], int],
        stir: Callable[[], None],
    ) -> None:
        self._session = session
        self._source = source
        self.current = current
        self.next: Context | None = None
        self._open_context = open_context
        self._ended_row = ended_row
        self._stir = stir
        self._swap: context_swap_pb2.ContextSwap | None = None
        #: The last answer that was sent.
        self._answered: Answer | None = None
        self._moved = asyncio.Event()

    def take(self, swap: context_swap_pb2.ContextSwap) -> None:
        """Takes a phase, from the stream or from a response. Repeated and older ones change nothing."""
        known = self._swap
        if known is not None and known.swap_id != swap.swap_id:
            self._drop()
            known = None
        if known is None:
            is_current = all(self.current.keys.get(key.node_id) == key.new_compute_key for key in swap.keys)
            if swap.phase == ABORTED or is_current:
                return
            print("swap      a new context is opened beside the old one", flush=True)
            self._answered = None
            self.next = self._open_context({key.node_id: key.new_compute_key for key in swap.keys})
        elif swap.phase == ABORTED:
            print("swap      given up; the old context goes on", flush=True)
            self._drop()
            self._stir()
            return
        elif (swap.phase, swap.from_row) <= (known.phase, known.from_row):
            return
        if swap.phase == COMMIT:
            print(f"swap      rows come from the new context from row {swap.from_row} on", flush=True)
        self._swap = context_swap_pb2.ContextSwap()
        self._swap.CopyFrom(swap)
        self.moved()
        self._stir()

    def decided(self, keys: Mapping[str, str]) -> None:
        """Called when no swap is under way, with the keys in force: ends a swap decided while this node was cut off."""
        if self._swap is None or self.next is None:
            return
        is_next = all(keys.get(node_id) == key for node_id, key in self.next.keys.items())
        outcome = context_swap_pb2.ContextSwap()
        outcome.CopyFrom(self._swap)
        outcome.phase = COMMIT if is_next else ABORTED
        self.take(outcome)

    def moved(self) -> None:
        """Called when something that an answer may depend on has changed."""
        self._moved.set()

    def may_end(self, row: int) -> bool:
        """Whether a row may end: during an undecided swap, only rows before `from_row`."""
        swap = self._swap
        return swap is None or swap.phase != PREPARE or row < swap.from_row

    async def answer(self) -> None:
        """Answers each phase as soon as possible, forever."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            swap, due = self._swap, self._due()
            if swap is None or due is None or due == self._answered:
                continue
            phase, from_row, warm_row = due
            answer = context_swap_pb2.SwapAnswer(
                swap_id=swap.swap_id,
                phase=phase,
                from_row=from_row,
                warm_row=warm_row,
                ended_row=self._ended_row(),
            )
            if phase == COMMIT:
                await self._change()
            try:
                request = queue_pb2.AnswerSwapRequest(answer=answer)
                response = await self._session.call(self._session.gateway.queues.AnswerSwap, request)
            except Refusal as refusal:
                print(f"swap      the answer is refused: {refusal.reason}", flush=True)
                continue
            self._answered = due
            if phase != COMMIT and response.HasField("swap"):
                self.take(response.swap)

    def _due(self) -> Answer | None:
        swap = self._swap
        if swap is None or self.next is None:
            return None
        if swap.phase == OPENING:
            warm_row = self.next.last_row
            is_warm = warm_row >= 0 and warm_row >= self._source.last_row
            return (OPENING, 0, warm_row) if is_warm else None
        if swap.phase == PREPARE:
            return (PREPARE, swap.from_row, 0)
        return (COMMIT, swap.from_row, 0) if self._ended_row() >= swap.from_row else None

    async def _change(self) -> None:
        """Changes to the new context, once its first row is ended, and leaves the old one."""
        old, new = self.current, self.next
        assert new is not None
        self.current, self.next, self._swap = new, None, None
        await old.leave()

    def _drop(self) -> None:
        """Leaves the new context and forgets its keys."""
        dropped, self.next, self._swap = self.next, None, None
        if dropped is not None:
            asyncio.get_running_loop().create_task(dropped.leave())
