"""Command line: `python -m subnet.localchain --port 9944 --block-time 0.25`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from loguru import logger

from subnet.errors import ChainError
from subnet.localchain.chain import Chain
from subnet.localchain.defaults import Settings, Subnet
from subnet.localchain.node import Node
from subnet.localchain.process import READY


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m subnet.localchain",
        description="A local Subtensor chain for bittensor, btcli and substrate-interface. "
        "Alice, Bob and Charlie hold 1,000,000 TAO, sudo is //Alice, subnets 0 and 1 exist.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9944, help="websocket port; 0 takes a free one")
    parser.add_argument("--block-time", type=float, default=0.25, metavar="SECONDS", help="time between blocks")
    parser.add_argument(
        "--state-dir", type=Path, default=None, help="keep the chain here; without it, it is gone at exit"
    )
    parser.add_argument("--tempo", type=int, default=Subnet().tempo, metavar="BLOCKS", help="tempo of new subnets")
    parser.add_argument("--keep-states", type=int, default=Settings().keep_states, metavar="BLOCKS",
                        help="how many past blocks' state stays readable")  # fmt: skip
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    return parser


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    logger.remove()
    logger.add(sys.stderr, level=args.log_level, format="{time:HH:mm:ss.SSS} {level: <7} {message}")
    try:
        settings = Settings(
            block_time=args.block_time, subnet=replace(Subnet(), tempo=args.tempo), keep_states=args.keep_states
        )
        chain = Chain(settings, args.state_dir)
        asyncio.run(Node(chain, args.host, args.port).run(_announce))
    except (ChainError, ValueError, OSError) as error:
        sys.stderr.write(f"localchain: {error}\n")
        return 1
    return 0


def _announce(endpoint: str) -> None:
    sys.stdout.write(f"{READY}{endpoint}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
