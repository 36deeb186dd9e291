"""Ids, byte by byte: sections 4 to 6 of the protocol. Run by itself, it prints the vectors of that page."""

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rfc8785
from blake3 import blake3
from qmtl.graph.v1 import graph_pb2

STREAM_INPUT_CODE = "builtin:stream_input@1"
DAY_SECONDS = 86_400


def jcs(value: Any) -> bytes:
    """Canonical JSON by RFC 8785."""
    return rfc8785.dumps(value)


def digest(data: bytes | str) -> str:
    """ "blake3:" followed by the BLAKE3-256 of the bytes in hex."""
    return "blake3:" + blake3(data.encode() if isinstance(data, str) else data).hexdigest()


def float64s(values: Iterable[float]) -> bytes:
    """Little-endian float64; every NaN as the one that the protocol prescribes."""
    nan = bytes.fromhex("000000000000f87f")
    return b"".join(struct.pack("<d", value) if value == value else nan for value in values)


def foreign_code(name: str, version: str) -> str:
    """code_hash of a compute function outside TypeScript. Raise the version whenever a bit of its output may change."""
    return digest(jcs({"recipe": "qmtl-foreign/1", "language": "python", "name": name, "version": version}))


def make_node(
    node_type: str,
    params: Mapping[str, Any],
    inputs: Sequence[tuple[str, str]],
    *,
    code_hash: str,
    schema: str,
    columns: Sequence[str],
    name: str,
    period: int = 1,
    source: graph_pb2.SourceBinding | None = None,
) -> graph_pb2.Node:
    """A stateless, deterministic node of daily buckets. Its id covers the seven keys; not name, columns or source."""
    parts = {
        "node_type": node_type,
        "interval_seconds": DAY_SECONDS,
        "period": period,
        "params": dict(params),
        "inputs": [{"port": port, "node_id": node_id} for port, node_id in inputs],
        "schema_compat_id": schema,
        "code_hash": code_hash,
    }
    return graph_pb2.Node(
        node_id=digest(jcs(parts)),
        node_type=node_type,
        interval_seconds=DAY_SECONDS,
        period=period,
        params_json=jcs(params).decode(),
        inputs=[graph_pb2.NodeInput(port=port, node_id=node_id) for port, node_id in inputs],
        schema_compat_id=schema,
        code_hash=code_hash,
        name=name,
        columns=[graph_pb2.ColumnSpec(name=column, kind=graph_pb2.COLUMN_KIND_F64) for column in columns],
        source=source,
        deterministic=True,
    )


def stream_input(source: str, columns: Sequence[str], instrument: str) -> graph_pb2.Node:
    """The source node that the TypeScript SDK declares for the same stream, so that both read one queue."""
    params = {
        "columns": list(columns),
        "instrument": instrument,
        "schedule": "observed",
        "schema": None,
        "source": source,
        "tags": [],
    }
    binding = graph_pb2.SourceBinding(
        source=source,
        schedule=graph_pb2.SCHEDULE_OBSERVED,
        adapter="csv-replay",
        instrument=instrument,
    )
    return make_node(
        "StreamInput",
        params,
        [],
        code_hash=digest(STREAM_INPUT_CODE),
        schema="f64:" + ",".join(columns),
        columns=columns,
        name=source,
        source=binding,
    )


def ids_crc32(nodes: Iterable[graph_pb2.Node]) -> int:
    """CRC-32 continued over the ids in the order sent."""
    crc = 0
    for node in nodes:
        crc = zlib.crc32(node.node_id.encode(), crc)
    return crc


def compute_key(node_id: str, world_id: str, domain: str, as_of: str) -> str:
    """Compute key of a node, to check that the platform makes the same one."""
    return digest(jcs([node_id, world_id, domain, as_of, "global"]))


def source_key(node_id: str) -> str:
    """Key of a source node: the same in every world."""
    return digest(jcs([node_id, "", "", "", "global"]))


def file_fingerprint(content: bytes) -> str:
    """Fingerprint that the adapter csv-replay gives to a file of daily, observed rows."""
    return digest(
        jcs(
            {
                "columns": None,
                "content": blake3(content).hexdigest(),
                "interval_ms": DAY_SECONDS * 1_000,
                "range": [None, None],
                "schedule": "observed",
                "time_column": None,
            }
        )
    )


if __name__ == "__main__":
    bars = stream_input("sp500", ["open", "high", "low", "close"], "SPX")
    momentum = make_node(
        "ProcessingNode/2",
        {"scale": 50},
        [("bars", bars.node_id)],
        code_hash=foreign_code("acme.signals.momentum", "3"),
        schema="f64:value",
        columns=["value"],
        name="momentum",
    )
    print(bars.code_hash, bars.node_id, momentum.code_hash, momentum.node_id)
    print(compute_key(momentum.node_id, "poly", "backtest", "py-1"))
