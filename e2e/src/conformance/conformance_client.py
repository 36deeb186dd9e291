"""Makes the calls it reads, one line of JSON each, with grpcio and the contracts' package; prints the outcome of each.

Usage: conformance_client.py HOST:PORT
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import grpc
import qmtl
from google.protobuf import descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2, status_pb2

CALL_SECONDS = 20.0


def import_contracts() -> None:
    for folder in map(Path, qmtl.__path__):
        for file in folder.rglob("*_pb2.py"):
            importlib.import_module(".".join(("qmtl", *file.relative_to(folder).with_suffix("").parts)))


def refusal(error: grpc.RpcError) -> dict[str, Any]:
    outcome: dict[str, Any] = {"status": error.code().name, "reason": "", "metadata": {}, "fields": []}
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                outcome["reason"], outcome["metadata"] = info.reason, dict(info.metadata)
            elif detail.Unpack(bad):
                outcome["fields"] = [violation.field for violation in bad.field_violations]
    return outcome


def make(channel: grpc.Channel, call: dict[str, Any]) -> dict[str, Any]:
    service, name = call["method"].split("/")
    method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    request_class = message_factory.GetMessageClass(method.input_type)
    answer_class = message_factory.GetMessageClass(method.output_type)
    try:
        request = json_format.ParseDict(call["request"], request_class())
    except json_format.ParseError as error:
        return {"status": "NOT_SENT", "message": str(error)}
    metadata = (("authorization", f"Bearer {call['key']}"),) if call["key"] else ()
    kind = channel.unary_stream if call["isStream"] else channel.unary_unary
    callable_ = kind(
        f"/{call['method']}",
        request_serializer=request_class.SerializeToString,
        response_deserializer=answer_class.FromString,
    )
    try:
        answer = callable_(request, timeout=CALL_SECONDS, metadata=metadata)
        if call["isStream"]:
            stream, answer = answer, next(answer)
            stream.cancel()
        return {"status": "OK", "answer": json_format.MessageToDict(answer)}
    except grpc.RpcError as error:
        return refusal(error)


def main() -> None:
    import_contracts()
    with grpc.insecure_channel(sys.argv[1]) as channel:
        for line in sys.stdin:
            print(json.dumps(make(channel, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
