"""Serve a local Dust until it is interrupted.

    python -m integration_tests.local_dust --port 8899

A page at `/` shows what it holds.
"""

from __future__ import annotations

import argparse
import asyncio
import json

from integration_tests.local_dust.last_sync import KEEPALIVE_S
from integration_tests.local_dust.options import (
    API_KEY,
    DATA_SOURCE_ID,
    SPACE_ID,
    WORKSPACE_ID,
    ApiKey,
    DataSource,
    Options,
)
from integration_tests.local_dust.server import ROUTE_STYLES, LocalDust


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m integration_tests.local_dust", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--port", type=int, default=8899, help="default: %(default)s; 0: any")
    parser.add_argument("--route-style", choices=ROUTE_STYLES, default="underscore")
    parser.add_argument(
        "--key",
        action="append",
        metavar="KEY:WORKSPACE",
        help=f"an API key and its workspace, repeatable; default: {API_KEY}:{WORKSPACE_ID}",
    )
    parser.add_argument(
        "--data-source",
        action="append",
        metavar="WORKSPACE/SPACE/ID",
        help=f"repeatable; default: {WORKSPACE_ID}/{SPACE_ID}/{DATA_SOURCE_ID}",
    )
    parser.add_argument(
        "--upserts", type=int, default=120, help="upserts per window; default: %(default)s"
    )
    parser.add_argument(
        "--window", type=float, default=60.0, help="window in seconds; default: %(default)s"
    )
    parser.add_argument(
        "--latency", type=float, default=0.0, help="seconds per response; default: %(default)s"
    )
    args = parser.parse_args()
    keys = args.key or [f"{API_KEY}:{WORKSPACE_ID}"]
    sources = args.data_source or [f"{WORKSPACE_ID}/{SPACE_ID}/{DATA_SOURCE_ID}"]
    try:
        options = Options(
            api_keys={
                secret: ApiKey(workspace)
                for secret, workspace in (key.rsplit(":", maxsplit=1) for key in keys)
            },
            data_sources=tuple(DataSource(*source.split("/")) for source in sources),
            upserts_per_window=args.upserts,
            window_s=args.window,
        )
    except (TypeError, ValueError):
        parser.error("--key takes KEY:WORKSPACE, --data-source takes WORKSPACE/SPACE/ID")
    dust = LocalDust(
        options,
        route_style=args.route_style,
        port=args.port,
        latency_s=args.latency,
        keepalive_s=KEEPALIVE_S,
    )
    try:
        asyncio.run(_serve(dust))
    except KeyboardInterrupt:
        print("\nStopped.")
    except OSError as error:
        parser.exit(1, f"{error.strerror}. Is a local Dust running already? Set another --port.\n")


async def _serve(dust: LocalDust) -> None:
    await dust.start()
    url = dust.config["base_url"]
    print(f"Local Dust is running. To browse its documents, open {url}/")
    print("To sync into it, use these settings:")
    print(json.dumps(dust.config, indent=2), flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await dust.stop()


if __name__ == "__main__":
    main()
