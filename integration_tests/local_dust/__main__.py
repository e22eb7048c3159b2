"""Serve a local Dust until it is interrupted.

    python -m integration_tests.local_dust --port 8899

A page at `/` shows what it holds.
"""

from __future__ import annotations

import argparse
import json
import threading

from integration_tests.local_dust.last_sync import KEEPALIVE_S
from integration_tests.local_dust.options import ApiKey, DataSource, Options
from integration_tests.local_dust.server import ROUTE_STYLES, LocalDust


def main() -> None:
    default = Options()
    parser = argparse.ArgumentParser(
        prog="python -m integration_tests.local_dust", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    add("--port", type=int, default=8899, help="default: %(default)s; 0: any")
    add("--route-style", choices=ROUTE_STYLES, default="underscore")
    add("--key", type=key, action="append", metavar="KEY:WORKSPACE", help="repeatable")
    where = "WORKSPACE/SPACE/ID"
    add("--data-source", type=data_source, action="append", metavar=where, help="repeatable")
    add("--upserts", type=int, default=120, help="upserts per window; default: %(default)s")
    add("--latency", type=float, default=0.0, help="seconds per response; default: %(default)s")
    args = parser.parse_args()
    dust = LocalDust(
        Options(
            api_keys=dict(args.key) if args.key else default.api_keys,
            data_sources=tuple(args.data_source or default.data_sources),
            upserts_per_window=args.upserts,
        ),
        route_style=args.route_style,
        port=args.port,
        latency_s=args.latency,
        keepalive_s=KEEPALIVE_S,
    )
    try:
        with dust:
            url = dust.config["base_url"]
            print(f"Local Dust is running. To browse its documents, open {url}/")
            print("To sync into it, use these settings:")
            print(json.dumps(dust.config, indent=2), flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        print("\nStopped.")
    except OSError as error:
        parser.exit(1, f"{error.strerror}. Is a local Dust running already? Set another --port.\n")


def key(text: str) -> tuple[str, ApiKey]:
    secret, workspace = text.rsplit(":", maxsplit=1)
    return secret, ApiKey(workspace)


def data_source(text: str) -> DataSource:
    return DataSource(*text.split("/"))


if __name__ == "__main__":
    main()
