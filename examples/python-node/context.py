"""The computed nodes of the strategy under the keys of one compute context."""

import asyncio
import platform
from collections.abc import Callable, Mapping
from functools import partial

from holder import Diverged, Holder
from identity import digest, jcs
from leases import Leases
from qmtl.dagmanager.v1 import queue_service_pb2 as queue_pb2
from qmtl.graph.v1 import graph_pb2
from queues import Queue
from session import Session
from strategy import Strategy

#: To be raised whenever the same code may give other bits.
LIBRARY = "python-node/1"


def build_of(node: graph_pb2.Node) -> str:
    """Build of a node, which tells two runtimes of the same code apart (section 5)."""
    return digest(jcs([platform.python_version(), platform.machine(), LIBRARY, node.code_hash]))


class Context:
    """Keys, queues and holders of the two computed nodes; a swap opens a second one beside the first."""

    def __init__(
        self,
        strategy: Strategy,
        session: Session,
        leases: Leases,
        source: Queue,
        keys: Mapping[str, str],
        on_change: Callable[[], None],
    ) -> None:
        self.keys = {node.node_id: keys[node.node_id] for node in (strategy.momentum, strategy.target)}
        self._leases = leases
        self._tasks: list[asyncio.Task[None]] = []
        self.queues: list[Queue] = []
        self.holders: list[Holder] = []
        upstream = source
        for node in (strategy.momentum, strategy.target):
            queue = Queue(session.gateway, keys[node.node_id])
            queue.listeners.append(on_change)
            holder = Holder(
                node.name,
                session,
                leases,
                queue,
                strategy.feed,
                build=build_of(node),
                warm_from_row=strategy.warm_from_row,
                values_at=partial(strategy.values_at, node.node_id),
                upstreams=[upstream],
            )
            self.queues.append(queue)
            self.holders.append(holder)
            upstream = queue

    def start(self, start_task: Callable[..., asyncio.Task[None]]) -> None:
        for queue, holder in zip(self.queues, self.holders, strict=True):
            self._tasks.append(start_task(queue.follow()))
            self._tasks.append(start_task(self._hold(holder)))

    async def _hold(self, holder: Holder) -> None:
        try:
            await holder.hold()
        except Diverged:
            await self._leases.release([holder.lease], queue_pb2.RELEASE_REASON_DIVERGED)
            raise

    @property
    def last_row(self) -> int:
        """Row up to which every key is computed; −1 before each has a holder."""
        if any(queue.fold.epoch == 0 for queue in self.queues):
            return -1
        return min(queue.last_row for queue in self.queues)

    async def leave(self) -> None:
        """Stops computing and gives up the leases of the keys."""
        for task in self._tasks:
            task.cancel()
        await self._leases.release([holder.lease for holder in self.holders], queue_pb2.RELEASE_REASON_STOP)
