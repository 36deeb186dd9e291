"""Node leases: asking for keys, standing by, renewing (section 11, steps 3 and 12)."""

import asyncio
from collections.abc import Iterable

from calls import Refusal
from clocks import Usable, read_clocks, seconds_of
from google.protobuf import duration_pb2
from qmtl.dagmanager.v1 import queue_service_pb2 as queue_pb2
from session import Session

WAIT_SECONDS = 30
RENEW_SECONDS = 3.0


class KeyLease:
    """The lease of one wanted key: its epoch, 0 while another process holds it, and how long it may be used."""

    def __init__(self, compute_key: str, build: str) -> None:
        self.compute_key = compute_key
        self.build = build
        self.epoch = 0
        #: True when the key had a START before, which fixed its origin.
        self.has_origin = False
        self._usable: Usable | None = None
        self._seconds = 0.0
        self.granted = asyncio.Event()

    @property
    def is_usable(self) -> bool:
        return self.epoch > 0 and self._usable is not None and self._usable.left() > 0

    def grant(self, lease: queue_pb2.NodeLease, asked: Usable) -> None:
        self.epoch = lease.lease_epoch
        self.has_origin = lease.HasField("origin")
        self._usable, self._seconds = asked, asked.seconds
        self.granted.set()

    def renew(self, asked: Usable) -> None:
        self._usable = asked._replace(seconds=self._seconds)

    def lose(self) -> None:
        self.epoch = 0
        self.granted.clear()


class Leases:
    """The leases of this process. One call asks for all keys, and one renews them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._queues = session.gateway.queues
        self._wanted: dict[str, KeyLease] = {}
        self._changed = asyncio.Event()
        self._renew_seconds = RENEW_SECONDS

    def want(self, compute_key: str, build: str) -> KeyLease:
        lease = KeyLease(compute_key, build)
        self._wanted[compute_key] = lease
        self._changed.set()
        return lease

    def lost(self, lease: KeyLease) -> None:
        """Called when the log shows a later holder, or a renewal was refused: asks for the lease again."""
        lease.lose()
        self._changed.set()

    async def acquire(self) -> None:
        """Asks, for ever, for the wanted leases it does not hold; standing by means having a call that waits."""
        while True:
            self._changed.clear()
            missing = [lease for lease in self._wanted.values() if lease.epoch == 0]
            changed = asyncio.ensure_future(self._changed.wait())
            asking = asyncio.ensure_future(self._ask(missing) if missing else asyncio.sleep(WAIT_SECONDS))
            await asyncio.wait({changed, asking}, return_when=asyncio.FIRST_COMPLETED)
            for task in (changed, asking):
                task.cancel()
            await asyncio.gather(changed, asking, return_exceptions=True)

    async def _ask(self, missing: list[KeyLease]) -> None:
        request = queue_pb2.AcquireLeasesRequest(
            keys=[
                queue_pb2.LeaseAsk(compute_key=lease.compute_key, build=lease.build, upstreams_local=True)
                for lease in missing
            ],
            wait=duration_pb2.Duration(seconds=WAIT_SECONDS),
        )
        asked = read_clocks()
        try:
            response = await self._session.once(self._queues.AcquireLeases, request, WAIT_SECONDS + 10)
        except Refusal as refusal:
            if not refusal.is_passing:
                raise
            await asyncio.sleep(0.5)
            return
        for granted in response.leases:
            self._renew_seconds = seconds_of(granted.renew_interval)
            usable = Usable(asked, seconds_of(granted.lease) - seconds_of(granted.margin))
            self._wanted[granted.compute_key].grant(granted, usable)

    async def renew(self) -> None:
        """Renews, for ever, the leases it holds. Without an answer a lease runs out by itself."""
        while True:
            await asyncio.sleep(self._renew_seconds)
            held = [lease for lease in self._wanted.values() if lease.epoch > 0]
            if not held:
                continue
            request = queue_pb2.RenewLeasesRequest(leases=_refs(held))
            asked = Usable(read_clocks(), 0.0)
            try:
                response = await self._session.once(self._queues.RenewLeases, request, self._renew_seconds)
            except Refusal as refusal:
                if not refusal.is_passing:
                    raise
                continue
            for lease, renewal in zip(held, response.renewals, strict=True):
                if renewal.renewed:
                    lease.renew(asked)
                else:
                    print(f"lost the lease of {lease.compute_key[:15]}", flush=True)
                    self.lost(lease)

    async def release(self, leases: Iterable[KeyLease], reason: queue_pb2.ReleaseReason.ValueType) -> None:
        """Gives up leases, and does not ask for them again."""
        leases = list(leases)
        held = [lease for lease in leases if lease.epoch > 0]
        for lease in leases:
            self._wanted.pop(lease.compute_key, None)
        if held:
            request = queue_pb2.ReleaseLeasesRequest(leases=_refs(held), reason=reason)
            await self._session.call(self._queues.ReleaseLeases, request)
        for lease in leases:
            lease.lose()


def _refs(leases: list[KeyLease]) -> list[queue_pb2.LeaseRef]:
    return [queue_pb2.LeaseRef(compute_key=lease.compute_key, lease_epoch=lease.epoch) for lease in leases]
