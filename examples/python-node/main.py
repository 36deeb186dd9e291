"""A compute node for QMTL in Python, written from docs/protocol.md: see README.md."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from calls import Gateway, Refusal
from feed import Feed
from holder import Diverged
from node import Node


async def run(options: argparse.Namespace) -> None:
    gateway = Gateway(options.gateway)
    feed = Feed(options.file, options.start)
    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    try:
        await Node(gateway, options.world, options.source, feed).run(stopped)
        print("stopped", flush=True)
    finally:
        await gateway.channel.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gateway", default="127.0.0.1:7400", help="host:port of the gateway")
    parser.add_argument("--world", required=True, help="world to compute and trade in")
    parser.add_argument("--source", default="sp500", help="entry under sources: of qmtl.yml")
    parser.add_argument("--file", type=Path, required=True, help="file of that entry")
    parser.add_argument("--start", default="2015-01-02", help="start of that entry")
    try:
        asyncio.run(run(parser.parse_args()))
    except (Refusal, Diverged, RuntimeError) as failure:
        print(f"failed    {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
