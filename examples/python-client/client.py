"""Asks a running QMTL platform what its worlds allow, then watches one until it changes.

Needs the package qmtl-contracts (gen/python); nothing else of QMTL.
"""

import argparse
import os
import sys
from collections.abc import Callable
from typing import TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2
from qmtl.control.v1 import control_event_pb2, gate_pb2
from qmtl.gateway.v1 import control_stream_service_pb2 as stream_pb2
from qmtl.gateway.v1 import control_stream_service_pb2_grpc as stream_grpc
from qmtl.type.v1 import access_pb2, execution_pb2
from qmtl.world.v1 import decision_service_pb2 as decision_pb2
from qmtl.world.v1 import decision_service_pb2_grpc as decision_grpc
from qmtl.world.v1 import world_service_pb2 as world_pb2
from qmtl.world.v1 import world_service_pb2_grpc as world_grpc

CALL_SECONDS = 10.0
WORLDS_A_PAGE = 100

Number = TypeVar("Number", bound=int)
Metadata = tuple[tuple[str, str], ...]


def short(name_of: Callable[[Number], str], number: Number, prefix: str) -> str:
    """EFFECTIVE_MODE_COMPUTE_ONLY -> compute_only. An enum number that this client does not know is given as it is."""
    try:
        return name_of(number).removeprefix(prefix).lower()
    except ValueError:
        return str(number)


def reason_of(error: grpc.RpcError) -> str:
    """The stable reason of a refusal, such as WORLD_NOT_FOUND; programs tell refusals apart by it, not by the text."""
    for entry in error.trailing_metadata() or ():
        if entry.key != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(entry.value).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                return info.reason
    return error.code().name


def caller() -> Metadata:
    """Metadata of every call: the caller's key, if there is one. For loopback only, unless the channel is secure."""
    key = os.environ.get("QMTL_API_KEY", "")
    return (("authorization", f"Bearer {key}"),) if key else ()


def print_worlds(channel: grpc.Channel) -> None:
    worlds = world_grpc.WorldServiceStub(channel)
    page_token = ""
    while True:
        page = worlds.ListWorlds(
            world_pb2.ListWorldsRequest(page_size=WORLDS_A_PAGE, page_token=page_token),
            timeout=CALL_SECONDS,
            metadata=caller(),
        )
        for world in page.worlds:
            clock = short(world_pb2.WorldClock.Name, world.clock, "WORLD_CLOCK_")
            print(f"world     {world.world_id}: {clock} clock, policy {world.policy_version or 'none'}")
        page_token = page.next_page_token
        if page_token == "":
            return


def print_decision(channel: grpc.Channel, world_id: str) -> None:
    answer = decision_grpc.DecisionServiceStub(channel).Decide(
        decision_pb2.DecideRequest(world_id=world_id), timeout=CALL_SECONDS, metadata=caller()
    )
    decision = answer.decision
    mode = short(execution_pb2.EffectiveMode.Name, decision.effective_mode, "EFFECTIVE_MODE_")
    domain = short(execution_pb2.ExecutionDomain.Name, decision.execution_domain, "EXECUTION_DOMAIN_")
    print(f"decision  {decision.world_id}: {mode}, orders as in {domain}; {decision.reason}")


def gate_text(gate: gate_pb2.GateState) -> str:
    holds = ", ".join(f"{short(gate_pb2.HoldKind.Name, hold.kind, 'HOLD_KIND_')} ({hold.reason})" for hold in gate.holds)
    state = short(gate_pb2.Gate.Name, gate.gate, "GATE_")
    return f"gate {state}, fence {gate.fence}, revision {gate.revision}{', held: ' + holds if holds else ''}"


def watch_one_change(channel: grpc.Channel, world_id: str, seconds: float) -> None:
    """Prints a snapshot, then waits for a change. Changes have no gap, so a client knows the gate at any time."""
    control = stream_grpc.ControlStreamServiceStub(channel)
    issued = control.IssueTicket(
        stream_pb2.IssueTicketRequest(
            world_id=world_id,
            rights=[access_pb2.TICKET_RIGHT_OBSERVE],
            topics=[control_event_pb2.TOPIC_GATE],
        ),
        timeout=CALL_SECONDS,
        metadata=caller(),
    )
    print(f"ticket    for {', '.join(issued.topic_keys)}")
    stream = control.Subscribe(
        stream_pb2.SubscribeRequest(ticket=issued.ticket), timeout=seconds, metadata=caller()
    )
    for response in stream:
        event = response.event
        payload = event.WhichOneof("payload")
        if payload == "snapshot":
            print(f"snapshot  {gate_text(event.snapshot.gate)}")
            print(f"waiting   for a change; qmtl world freeze {world_id} --reason test", flush=True)
        elif payload == "gate_event":
            change = short(gate_pb2.GateChange.Name, event.gate_event.change, "GATE_CHANGE_")
            print(f"change    {change}: {gate_text(event.gate_event.state)}")
            stream.cancel()
            return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gateway", default="127.0.0.1:7400", help="host:port of the gateway")
    parser.add_argument("--world", required=True, help="world to ask about and to watch")
    parser.add_argument("--seconds", type=float, default=60.0, help="longest wait for a change")
    options = parser.parse_args()
    with grpc.insecure_channel(options.gateway) as channel:
        try:
            print_worlds(channel)
            print_decision(channel, options.world)
            watch_one_change(channel, options.world, options.seconds)
        except grpc.RpcError as error:
            print(f"refused   {reason_of(error)}: {error.details()}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
