"""The connector's settings, checked before anything is sent."""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from airbyte_cdk.utils.airbyte_secrets_utils import add_to_secrets
from pydantic_core import Url

from destination_dust import exact_json
from destination_dust.errors import DustConfigError

logger = logging.getLogger("airbyte")

DEFAULT_BASE_URL = "https://dust.tt"

ID_EXAMPLES = {
    "workspace_id": "0ec9852c2f",
    "space_id": "vlt_fC9eQ2lkNvGr",
    "data_source_id": "dts_KtCBWtKdpmNc",
}

MIN_SECRET_CHARACTERS = 6
"""Masking a shorter text would damage the output."""

# Without what addresses and requests contain.
_ID = re.compile(r"""(?!sk-)[^\s/?#&=:"']+""")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")
_DUST_KEY = re.compile(r"sk-[a-zA-Z0-9_-]+")
# Long enough not to be a part of a name, as in https://task-force.example.
_CERTAINLY_A_KEY = re.compile(r"sk-[a-zA-Z0-9]{20,}")


@dataclass(frozen=True)
class DustConfig:
    """Where to write to, and with which key. `base_url` ends without a slash."""

    api_key: str = field(repr=False)
    workspace_id: str
    space_id: str
    data_source_id: str
    base_url: str = DEFAULT_BASE_URL

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any]) -> DustConfig:
        """Return the settings, stripped of surrounding white space.

        Raises DustConfigError, which names the field and does not quote what a user entered.
        """
        register_secrets(config)
        _warn_of_unknown(config)
        settings = cls(
            api_key=_api_key(_required(config, "api_key")),
            workspace_id=_id(config, "workspace_id"),
            space_id=_id(config, "space_id"),
            data_source_id=_id(config, "data_source_id"),
            base_url=_base_url(_text(config, "base_url") or DEFAULT_BASE_URL),
        )
        for name in (*ID_EXAMPLES, "base_url"):
            _refuse_key_in(name, getattr(settings, name), settings.api_key)
        return settings


def _warn_of_unknown(config: Mapping[str, Any]) -> None:
    """Warn of names such as `baseUrl`: without its base_url, the key goes to another server."""
    names = [field.name for field in fields(DustConfig)]
    unknown = [
        # Some paste a key where a name belongs.
        "one whose name looks like an API key" if _DUST_KEY.search(name) else repr(name)
        for name in config
        if name not in names
    ]
    if unknown:
        logger.warning(
            "Unknown settings are ignored: %s. The settings are %s.",
            ", ".join(unknown),
            ", ".join(names),
        )


def register_secrets(settings: Mapping[str, Any]) -> None:
    """Have the CDK mask the secrets in everything it prints, as they are and as JSON."""
    for secret in secrets_in(settings):
        # In lower case too, as a host in an error message.
        for text in (secret, exact_json.dumps(secret)[1:-1], secret.lower()):
            add_to_secrets(text)


def secrets_in(config: Mapping[str, Any]) -> list[str]:
    """Return the parts of the settings that must not be printed: all that is or looks like a key.

    They may be in any field, because users paste whole requests. The longest comes first: if a part
    of a secret were masked first, the whole would no longer be found.
    """
    keys = {text.strip() for text in _texts_in(config.get("api_key"))}
    for text in _texts_in(config):
        keys.update(_DUST_KEY.findall(text))
    return sorted((key for key in keys if len(key) >= MIN_SECRET_CHARACTERS), key=len, reverse=True)


def _texts_in(settings: Any) -> Iterator[str]:
    """Yield each text in the settings, at whatever depth, names of fields included."""
    pending = [settings]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            pending += value


def _text(config: Mapping[str, Any], name: str) -> str:
    value = config.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DustConfigError(f"{name} must be a string.")
    return value.strip()


def _required(config: Mapping[str, Any], name: str) -> str:
    value = _text(config, name)
    if not value:
        raise DustConfigError(f"{name} is required.")
    return value


def _id(config: Mapping[str, Any], name: str) -> str:
    value = _required(config, name)
    # Zero-width spaces and other invisible characters are not printable.
    if not _ID.fullmatch(value) or not value.isprintable():
        raise DustConfigError(
            f"{name} must be only the id, such as {ID_EXAMPLES[name]}. Do not paste an address, a "
            "request or a key. It may contain an invisible character that was copied along."
        )
    return value


def _refuse_key_in(name: str, value: str, api_key: str) -> None:
    """Raise DustConfigError when the key was pasted into another setting.

    In a host it would be looked up by DNS, which is not encrypted.
    """
    has_this_key = len(api_key) >= MIN_SECRET_CHARACTERS and api_key.lower() in value.lower()
    if has_this_key or _CERTAINLY_A_KEY.search(value):
        raise DustConfigError(f"{name} contains an API key. Remove it from there.")


def _api_key(key: str) -> str:
    # requests and http.client quote the header values that they refuse.
    if not _HEADER_VALUE.fullmatch(key):
        raise DustConfigError(
            "api_key contains whitespace, control or non-ASCII characters; no Dust key does. Paste "
            "the key alone (sk-...), without 'Bearer' or quotation marks."
        )
    return key


def _base_url(text: str) -> str:
    """Return scheme, host and port of a base URL, put together from its parsed parts.

    The HTTP client parses by other rules, so it only gets what this parser has understood.
    """
    try:
        url = Url(text)
    except ValueError:
        # `from None`: the parser's error quotes the value, which may hold a password.
        raise DustConfigError(
            f"base_url is not a URL such as {DEFAULT_BASE_URL} or https://eu.dust.tt."
        ) from None
    if url.scheme not in ("https", "http") or not url.host:
        raise DustConfigError(f"base_url must begin with https://, as in {DEFAULT_BASE_URL}.")
    labels = url.host.removesuffix(".").split(".")
    if "*" in url.host or not all(0 < len(label) < 64 for label in labels):
        raise DustConfigError(f"base_url is not a URL such as {DEFAULT_BASE_URL}: check its host.")
    if url.host.startswith("sk-"):
        raise DustConfigError(f"base_url must be a URL such as {DEFAULT_BASE_URL}, not a key.")
    if url.scheme == "http" and not is_loopback(url.host):
        raise DustConfigError(
            "base_url must begin with https://: over http:// the key would travel unencrypted. "
            "http:// is allowed only for this machine (localhost, 127.0.0.1)."
        )
    if url.username is not None or url.password is not None:
        raise DustConfigError("base_url must not hold a user name or password.")
    if (url.path or "/") != "/" or url.query is not None or url.fragment is not None:
        raise DustConfigError(
            f"base_url must not have a path or query. Use {DEFAULT_BASE_URL} (US) or "
            "https://eu.dust.tt (Europe)."
        )
    default_port = {"https": 443, "http": 80}[url.scheme]
    port = "" if url.port in (None, default_port) else f":{url.port}"
    return f"{url.scheme}://{url.host}{port}"


def is_loopback(host: str) -> bool:
    """Return whether the host of a URL is this machine itself."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
