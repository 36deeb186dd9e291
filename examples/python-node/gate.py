"""The gate of a world as a session follows it: its hash, and whether an order may leave (sections 8 and 9)."""

from collections.abc import Collection
from dataclasses import dataclass

from clocks import Usable
from identity import digest, jcs
from qmtl.control.v1 import gate_pb2
from qmtl.order.v1 import order_pb2
from qmtl.type.v1 import execution_pb2

_GATES = {gate_pb2.GATE_OPEN: "OPEN", gate_pb2.GATE_CLOSING: "CLOSING", gate_pb2.GATE_CLOSED: "CLOSED"}
_PHASES = {
    gate_pb2.APPLY_PHASE_UNSPECIFIED: None,
    gate_pb2.APPLY_PHASE_FREEZING: "FREEZING",
    gate_pb2.APPLY_PHASE_SWITCHED: "SWITCHED",
    gate_pb2.APPLY_PHASE_UNFROZEN: "UNFROZEN",
    gate_pb2.APPLY_PHASE_ROLLED_BACK: "ROLLED_BACK",
}
_HOLDS = {
    gate_pb2.HOLD_KIND_BREAKER: "breaker",
    gate_pb2.HOLD_KIND_MANUAL: "manual",
    gate_pb2.HOLD_KIND_ROLLBACK: "rollback",
}
MODES = {
    execution_pb2.EFFECTIVE_MODE_VALIDATE: "validate",
    execution_pb2.EFFECTIVE_MODE_COMPUTE_ONLY: "compute-only",
    execution_pb2.EFFECTIVE_MODE_PAPER: "paper",
    execution_pb2.EFFECTIVE_MODE_LIVE: "live",
    execution_pb2.EFFECTIVE_MODE_SHADOW: "shadow",
}
_SIDES = {execution_pb2.SIDE_LONG: "long", execution_pb2.SIDE_SHORT: "short"}
_DOMAINS = {
    "paper": execution_pb2.EXECUTION_DOMAIN_DRYRUN,
    "live": execution_pb2.EXECUTION_DOMAIN_LIVE,
    "shadow": execution_pb2.EXECUTION_DOMAIN_SHADOW,
}


def state_hash(state: gate_pb2.GateState, strategies: Collection[str] | None) -> str:
    """Hash over all activations, as events carry it, or over those of some strategies, as heartbeats state it.

    Raises KeyError for an enum value that this code does not know.
    """
    own = [each for each in state.activations if strategies is None or each.strategy_id in strategies]
    activations = [
        {
            "strategy_id": each.strategy_id,
            "side": _SIDES[each.side],
            "active": each.active,
            "weight": each.weight,
            "freeze": each.freeze,
            "drain": each.drain,
            "effective_mode": MODES[each.effective_mode],
        }
        for each in own
    ]
    return digest(
        jcs(
            {
                "world_id": state.world_id,
                "store_epoch": state.store_epoch,
                "revision": state.revision,
                "fence": state.fence,
                "gate": _GATES[state.gate],
                "holds": sorted(_HOLDS[hold.kind] for hold in state.holds),
                "run_id": state.run_id or None,
                "phase": _PHASES[state.phase],
                "decision": {"id": state.decision.decision_id, "mode": MODES[state.decision.mode]},
                "required_revision": state.required_revision,
                "activations": sorted(activations, key=lambda each: (each["strategy_id"], each["side"])),
            }
        )
    )


@dataclass
class OrderLease:
    """The right to send orders, under one fence."""

    lease_id: str
    fence: int
    usable: Usable
    emits: frozenset[str]


class OrderGate:
    """What a session knows about the gate, and the order lease it holds."""

    def __init__(self, strategy_id: str) -> None:
        self.strategy_id = strategy_id
        self.state: gate_pb2.GateState | None = None
        self.lease: OrderLease | None = None

    def follow(self, state: gate_pb2.GateState) -> None:
        """Applies a state. A gate that is not OPEN, or another fence, drops the lease."""
        self.state = state
        if state.gate != gate_pb2.GATE_OPEN or (self.lease is not None and self.lease.fence != state.fence):
            self.lease = None

    def forget(self) -> None:
        self.state = None
        self.lease = None

    def grant(self, lease: OrderLease) -> None:
        """Takes a grant if its fence is the applied one; of two leases, keeps the one that lasts longer."""
        state = self.state
        if state is None or state.gate != gate_pb2.GATE_OPEN or lease.fence != state.fence:
            return
        if self.lease is None or lease.usable.left() > self.lease.usable.left():
            self.lease = lease

    @property
    def mode(self) -> str:
        """The strategy's own mode."""
        activation = self._activation(execution_pb2.SIDE_LONG)
        return "validate" if activation is None else MODES[activation.effective_mode]

    @property
    def holds_lease(self) -> bool:
        return self.lease is not None and self.lease.usable.left() > 0

    def shut_claim(self) -> order_pb2.GateClaim:
        """The claim of a call without targets: no lease."""
        fence = 0 if self.state is None else self.state.fence
        return order_pb2.GateClaim(fence=fence, domain=self._domain())

    def open_claim(self) -> order_pb2.GateClaim | None:
        """The claim of a target on the long side; None while it may not be sent. Call this right before the write."""
        lease, state = self.lease, self.state
        activation = self._activation(execution_pb2.SIDE_LONG)
        if lease is None or state is None or activation is None or lease.usable.left() <= 0:
            return None
        if state.gate != gate_pb2.GATE_OPEN or state.fence != lease.fence:
            return None
        if self.strategy_id not in lease.emits or self.mode not in ("paper", "live"):
            return None
        if not activation.active or activation.freeze or activation.drain:
            return None
        return order_pb2.GateClaim(lease_id=lease.lease_id, fence=lease.fence, domain=self._domain())

    def _domain(self) -> execution_pb2.ExecutionDomain.ValueType:
        return _DOMAINS.get(self.mode, execution_pb2.EXECUTION_DOMAIN_BACKTEST)

    def _activation(self, side: execution_pb2.Side.ValueType) -> gate_pb2.GateActivation | None:
        own = () if self.state is None else self.state.activations
        return next((each for each in own if each.strategy_id == self.strategy_id and each.side == side), None)
