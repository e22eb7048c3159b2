"""The proxy and the certificates that the environment names, checked before the first request."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from destination_dust.config import is_loopback
from destination_dust.errors import DustConfigError

_MAX_PATH = 255


def proxy_for(base_url: str, proxies: Mapping[str, str]) -> str | None:
    """Return host and port of the proxy for the URL, without user and password.

    None where there is no proxy. Raises DustConfigError when it cannot be used, or when the key
    would travel to it unencrypted.
    """
    base = urlsplit(base_url)
    url = proxies.get(base.scheme) or proxies.get("all")
    if not url:
        return None
    try:
        # requests encodes user and password in this way.
        url.encode("latin-1")
        proxy = urlsplit(url if "://" in url else f"http://{url}")
        host, port = proxy.hostname, proxy.port
    except ValueError:
        host = None
    if not host:
        # `from None`: a proxy's URL may hold a password.
        raise DustConfigError(
            f"{base.scheme.upper()}_PROXY (or ALL_PROXY) is not the URL of a proxy, such as "
            "http://proxy.example:3128: correct it or unset it."
        ) from None
    if base.scheme == "http" and not is_loopback(host):
        raise DustConfigError(
            f"Through the environment's HTTP proxy the key would travel unencrypted: add "
            f"{base.hostname} to NO_PROXY."
        )
    return host if port is None else f"{host}:{port}"


def check_certificates(bundle: bool | str | None) -> None:
    """Raise DustConfigError when the environment names certificates that cannot be loaded.

    Otherwise they would surface as a connection error.
    """
    if not isinstance(bundle, str):
        return
    path = Path(bundle)
    try:
        if not path.is_dir():
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:
        names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        variable = next((name for name in names if os.environ.get(name) == bundle), names[0])
        # Some put the certificates themselves there, with their private key.
        name = repr(bundle) if len(bundle) <= _MAX_PATH and "\n" not in bundle else "no file"
        raise DustConfigError(
            f"{variable} names {name}, from which no certificates can be read: correct it or "
            "unset it."
        ) from error
