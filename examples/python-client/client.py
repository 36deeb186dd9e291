"""Asks a running QMTL platform what its worlds allow, then watches one until it changes.

Needs grpcio, protobuf and the stubs in gen/python/src; nothing else of QMTL.
"""

import argparse
import os
import pathlib
import sys

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "gen" / "python" / "src"))

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


def short(enum, number: int, prefix: str) -> str:
    """EFFECTIVE_MODE_COMPUTE_ONLY -> compute_only. A number this client does not know is shown as it is."""
    name = enum.Name(number) if number in enum.values() else str(number)
    return name.removeprefix(prefix).lower()


def reason_of(error: grpc.RpcError) -> str:
    """The stable reason of a refusal, such as WORLD_NOT_FOUND; programs tell refusals apart by it, not by the text."""
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                return info.reason
    return error.code().name


def print_worlds(channel: grpc.Channel) -> None:
    worlds = world_grpc.WorldServiceStub(channel)
    page_token = ""
    while True:
        page = worlds.ListWorlds(
            world_pb2.ListWorldsRequest(page_size=WORLDS_A_PAGE, page_token=page_token),
            timeout=CALL_SECONDS,
        )
        for world in page.worlds:
            clock = short(world_pb2.WorldClock, world.clock, "WORLD_CLOCK_")
            print(f"world     {world.world_id}: {clock} clock, policy {world.policy_version or 'none'}")
        page_token = page.next_page_token
        if page_token == "":
            return


def print_decision(channel: grpc.Channel, world_id: str) -> None:
    answer = decision_grpc.DecisionServiceStub(channel).Decide(
        decision_pb2.DecideRequest(world_id=world_id), timeout=CALL_SECONDS
    )
    decision = answer.decision
    mode = short(execution_pb2.EffectiveMode, decision.effective_mode, "EFFECTIVE_MODE_")
    domain = short(execution_pb2.ExecutionDomain, decision.execution_domain, "EXECUTION_DOMAIN_")
    print(f"decision  {decision.world_id}: {mode}, orders as in {domain}; {decision.reason}")


def gate_text(gate) -> str:
    holds = ", ".join(f"{short(gate_pb2.HoldKind, hold.kind, 'HOLD_KIND_')} ({hold.reason})" for hold in gate.holds)
    state = short(gate_pb2.Gate, gate.gate, "GATE_")
    return f"gate {state}, fence {gate.fence}, revision {gate.revision}{', held: ' + holds if holds else ''}"


def watch_one_change(channel: grpc.Channel, world_id: str, seconds: float) -> None:
    """First a snapshot, then changes without a gap: from both a client knows the gate at any time."""
    control = stream_grpc.ControlStreamServiceStub(channel)
    issued = control.IssueTicket(
        stream_pb2.IssueTicketRequest(
            world_id=world_id,
            rights=[access_pb2.TICKET_RIGHT_OBSERVE],
            topics=[control_event_pb2.TOPIC_GATE],
        ),
        timeout=CALL_SECONDS,
    )
    print(f"ticket    for {', '.join(issued.topic_keys)}")
    stream = control.Subscribe(stream_pb2.SubscribeRequest(ticket=issued.ticket), timeout=seconds)
    for response in stream:
        event = response.event
        payload = event.WhichOneof("payload")
        if payload == "snapshot":
            print(f"snapshot  {gate_text(event.snapshot.gate)}")
            print(f"waiting   for a change; qmtl world freeze {world_id} --reason test", flush=True)
        elif payload == "gate_event":
            change = short(gate_pb2.GateChange, event.gate_event.change, "GATE_CHANGE_")
            print(f"change    {change}: {gate_text(event.gate_event.state)}")
            stream.cancel()
            return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gateway", default="127.0.0.1:7400", help="host:port of the gateway")
    parser.add_argument("--world", required=True, help="world to ask about and to watch")
    parser.add_argument("--seconds", type=float, default=60.0, help="longest wait for a change")
    options = parser.parse_args()
    channel = grpc.insecure_channel(options.gateway)
    key = os.environ.get("QMTL_API_KEY")
    if key is not None:
        channel = grpc.intercept_channel(channel, ApiKey(key))
    try:
        print_worlds(channel)
        print_decision(channel, options.world)
        watch_one_change(channel, options.world, options.seconds)
    except grpc.RpcError as error:
        print(f"refused   {reason_of(error)}: {error.details()}", file=sys.stderr)
        return 1
    return 0


class ApiKey(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Sends the caller's key with every call. For loopback only: elsewhere use a secure channel."""

    def __init__(self, key: str):
        self._header = ("authorization", f"Bearer {key}")

    def _dressed(self, details):
        return details._replace(metadata=[*(details.metadata or []), self._header])

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(self._dressed(details), request)

    def intercept_unary_stream(self, continuation, details, request):
        return continuation(self._dressed(details), request)


if __name__ == "__main__":
    sys.exit(main())
