"""The command line: the three commands, and the JSON files that it names.

Users pass the settings or the key where the name of a file is expected. So an argument is quoted
only when it is certainly the name of a file.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

from destination_dust import __version__
from destination_dust.errors import DustConfigError

CONFIG = "--config"
CATALOG = "--catalog"

_NEEDED = {"spec": (), "check": (CONFIG,), "write": (CONFIG, CATALOG)}
_USAGE = (
    "%(prog)s spec\n"
    f"       %(prog)s check {CONFIG} FILE\n"
    f"       %(prog)s write {CONFIG} FILE {CATALOG} FILE\n"
    "       %(prog)s --version"
)
# Not within a word, as in "task-".
_KEY = re.compile(r"(?<![a-zA-Z0-9])sk-")
_CONTENTS = {CONFIG: "the settings", CATALOG: "the configured catalog"}


class _Parser(argparse.ArgumentParser):
    """Shows only the usage when arguments are wrong: argparse's own messages quote them."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(
            2,
            f"{self.prog}: error: Wrong or missing arguments: see the usage above. They are not "
            "printed, because they may contain an API key.\n",
        )


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the `command`, and the file names `config` and `catalog` where they were passed.

    Wrong arguments end the process with the usage and exit code 2.
    """
    parser = _Parser(
        usage=_USAGE,
        description="Upserts each record of an Airbyte sync into a Dust data source.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "command",
        choices=_NEEDED,
        help="spec describes the settings, check tries them, write syncs the messages on stdin",
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"destination-dust {__version__}",
        help="print the version",
    )
    for option, content in _CONTENTS.items():
        parser.add_argument(option, metavar="FILE", help=f"a JSON file with {content}")
    parsed = parser.parse_args(arguments)
    if any(getattr(parsed, option.lstrip("-")) is None for option in _NEEDED[parsed.command]):
        parser.error("an option is missing")
    return parsed


def read_json_object(path: str, option: str) -> dict[str, Any]:
    """Return the JSON object in the file that was passed as this option.

    The file is read as UTF-8 in any locale, with or without a BOM. Raises DustConfigError when it
    cannot be read or is not a JSON object.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        reason = str(error.strerror)
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    except json.JSONDecodeError as error:
        reason = f"it is not JSON at line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError):
        reason = "a number in it is too long, or its nesting is too deep"
    else:
        if isinstance(content, dict):
            return content
        reason = "it must contain one JSON object"
    # Raised outside of `except`, because the errors above may quote the settings.
    raise DustConfigError(
        f"Could not read {name_of_file(path, option)}: {reason}. {option} takes the path of a JSON "
        f"file with {_CONTENTS[option]}."
    )


def name_of_file(path: str, option: str) -> str:
    """Return what to call a file in a message: its name, if that is certainly not a secret."""
    # Not with pathlib, which raises when the name is too long, as settings are.
    exists = os.path.exists(path)  # noqa: PTH110
    if (exists or path.endswith(".json")) and not _KEY.search(path):
        return repr(os.fsencode(path).decode("utf-8", "backslashreplace"))
    return f"the file passed as {option}"
