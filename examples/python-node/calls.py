"""Calls to the gateway: addresses, keys, refusals by their reason, and what may be repeated (sections 1 and 3)."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2
from qmtl.dagmanager.v1 import queue_service_pb2_grpc
from qmtl.data.v1 import queue_data_service_pb2_grpc
from qmtl.gateway.v1 import control_stream_service_pb2_grpc, gateway_service_pb2_grpc, order_service_pb2_grpc

CALL_SECONDS = 10.0
#: First and longest pause before a call is repeated.
PAUSE_SECONDS = (0.1, 2.0)
MESSAGE_BYTES = 16 * 1024 * 1024

Answer = TypeVar("Answer")


class Refusal(Exception):
    """A failed call: the gateway refused it, or could not be reached."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        self.reason = self.code.name
        self.metadata: dict[str, str] = {}
        self.retry_seconds: float | None = None
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin" and isinstance(value, bytes):
                self._read(status_pb2.Status.FromString(value))
        super().__init__(f"{self.reason}: {error.details()}")

    def _read(self, status: status_pb2.Status) -> None:
        info = error_details_pb2.ErrorInfo()
        retry = error_details_pb2.RetryInfo()
        for detail in status.details:
            if detail.Unpack(info):
                self.reason, self.metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(retry):
                self.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()

    @property
    def is_passing(self) -> bool:
        """True when the same message may succeed later, if the method may be repeated."""
        return self.code in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        )

    @property
    def is_of_ticket(self) -> bool:
        return self.reason in ("TICKET_EXPIRED", "TICKET_INVALID")


def pause_seconds(failures: int, first: float = PAUSE_SECONDS[0], most: float = PAUSE_SECONDS[1]) -> float:
    """Pause after so many failures in a row: doubled with each, with jitter."""
    return min(most, first * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)


class Gateway:
    """One channel to the gateway, and the stubs of the services that a node calls there."""

    def __init__(self, address: str) -> None:
        options = [
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.keepalive_time_ms", 10_000),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            # This code decides what may be repeated, by the protocol.
            ("grpc.enable_retries", 0),
        ]
        self.channel = grpc.aio.insecure_channel(address, options=options)
        key = os.environ.get("QMTL_API_KEY", "")
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()
        self.submissions = gateway_service_pb2_grpc.GatewayServiceStub(self.channel)
        self.control = control_stream_service_pb2_grpc.ControlStreamServiceStub(self.channel)
        self.queues = queue_service_pb2_grpc.QueueServiceStub(self.channel)
        self.data = queue_data_service_pb2_grpc.QueueDataServiceStub(self.channel)
        self.orders = order_service_pb2_grpc.OrderServiceStub(self.channel)

    async def once(self, method: Any, request: Any, seconds: float = CALL_SECONDS) -> Any:
        """Makes one attempt. Raises Refusal."""
        try:
            return await method(request, timeout=seconds, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise Refusal(error) from None

    async def call(self, method: Any, request: Any, seconds: float = CALL_SECONDS) -> Any:
        """Sends the same message until it is answered, or refused for good. Only for methods that may be repeated."""
        failures = 0
        while True:
            try:
                return await self.once(method, request, seconds)
            except Refusal as refusal:
                if not refusal.is_passing:
                    raise
                failures += 1
                await asyncio.sleep(refusal.retry_seconds or pause_seconds(failures))

    async def stream(self, method: Any, request: Any, silence_seconds: float) -> AsyncIterator[Any]:
        """Messages of a stream. Raises Refusal, or TimeoutError when it falls silent."""
        call = method(request, metadata=self._metadata)
        try:
            while True:
                message = await asyncio.wait_for(call.read(), silence_seconds)
                if message is grpc.aio.EOF:
                    return
                yield message
        except grpc.aio.AioRpcError as error:
            raise Refusal(error) from None
        finally:
            call.cancel()
