"""The strategy: two nodes of our own, computed from the stream of a file."""

import math
from collections.abc import Mapping

from feed import COLUMNS, Feed
from google.protobuf import duration_pb2, timestamp_pb2
from identity import DAY_SECONDS, foreign_code, make_node, stream_input
from qmtl.graph.v1 import graph_pb2
from qmtl.type.v1 import execution_pb2, value_pb2

NAME = "python-node"
INSTRUMENT = "SPX"
DAYS = 3
BACKTEST_ROWS = 1_000


class Strategy:
    """Long while the close is above that of three days ago. Its nodes are stateless: a row depends only on a window."""

    def __init__(self, source: str, feed: Feed) -> None:
        self.source_name = source
        self.feed = feed
        self.source = stream_input(source, COLUMNS, INSTRUMENT)
        self.momentum = make_node(
            "ProcessingNode",
            {"days": DAYS},
            [("bars", self.source.node_id)],
            code_hash=foreign_code("examples.python_node.momentum", "1"),
            schema="f64:value",
            columns=["value"],
            name="momentum",
            period=DAYS + 1,
        )
        self.target = make_node(
            "PositionTargetNode",
            {"long_weight": 1},
            [("signal", self.momentum.node_id)],
            code_hash=foreign_code("examples.python_node.target", "1"),
            schema="f64:target",
            columns=["target"],
            name="target",
        )

    @property
    def nodes(self) -> tuple[graph_pb2.Node, ...]:
        return (self.source, self.momentum, self.target)

    @property
    def warm_from_row(self) -> int:
        """First row of the first published row's window."""
        return self.feed.first_row - DAYS

    def momentum_at(self, row: int) -> float:
        return self.feed.close(row) / self.feed.close(row - DAYS) - 1

    def weight_at(self, row: int) -> float:
        return 1.0 if self.momentum_at(row) > 0 else 0.0

    def values_at(self, node_id: str, row: int) -> tuple[float]:
        """The values of a computed node's row: a single one."""
        computed: Mapping[str, float] = {
            self.momentum.node_id: self.momentum_at(row),
            self.target.node_id: self.weight_at(row),
        }
        return (computed[node_id],)

    def backtest(self) -> value_pb2.ReturnSeries:
        """Returns of the history before the first published row, for the policy to judge."""
        rows = range(self.feed.first_row - BACKTEST_ROWS, self.feed.first_row)
        returns = [
            self.weight_at(row - 1) * (self.feed.close(row) / self.feed.close(row - 1) - 1) for row in rows
        ]
        assert all(math.isfinite(each) for each in returns)
        return value_pb2.ReturnSeries(
            interval=duration_pb2.Duration(seconds=DAY_SECONDS),
            periods_per_year=252,
            start_time=timestamp_of(self.feed.end_ms[rows[0]]),
            end_time=timestamp_of(self.feed.end_ms[rows[-1]]),
            returns=returns,
            domain=execution_pb2.EXECUTION_DOMAIN_BACKTEST,
        )


def timestamp_of(ms: int) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMilliseconds(ms)
    return stamp
