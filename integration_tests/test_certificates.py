"""Which certificates are trusted, directly and through a proxy, and what is said of the others."""

from __future__ import annotations

import contextlib
import os
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_connection

import pytest
from airbyte_cdk.models import AirbyteConnectionStatus, Status
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from integration_tests.connector import in_process
from integration_tests.local_dust import LocalDust

PEM = serialization.Encoding.PEM
# As `openssl rehash` names a file with the certificate of "CN = Company".
FILE_IN_FOLDER = "11a9ec0d.0"


class Authority:
    """A company's own certificate authority, without keyUsage.

    If it is not `is_critical`, as strict RFC 5280 wants it, its certificates do not name it either.
    """

    def __init__(self, *, is_critical: bool = True) -> None:
        self._names_itself = is_critical
        self._key = ec.generate_private_key(ec.SECP256R1())
        may_sign = x509.BasicConstraints(ca=True, path_length=None)
        self.pem = self._signed("Company", self._key, may_sign, is_critical=is_critical)

    def sign(self, *, host: str = "localhost", valid_days: int = 30) -> bytes:
        """Return a new certificate for the host, with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        form, no_password = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        private = key.private_bytes(PEM, form, no_password)
        name = x509.SubjectAlternativeName([x509.DNSName(host)])
        return self._signed(host, key, name, valid_days=valid_days) + private

    def _signed(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        extension: x509.ExtensionType,
        *,
        is_critical: bool = False,
        valid_days: int = 30,
    ) -> bytes:
        subject, company = (
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
            for text in (name, "Company")
        )
        now = datetime.now(timezone.utc)
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            x509.CertificateBuilder(company, subject, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=valid_days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(extension, is_critical)
        )
        if self._names_itself:
            builder = builder.add_extension(signer, False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(PEM)


class Handler(BaseHTTPRequestHandler):
    """Lists no documents, and lets everything through as a proxy does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "16")
        self.end_headers()
        self.wfile.write(b'{"documents":[]}')

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        with create_connection((host, int(port))) as server:
            self.send_response(200)
            self.end_headers()
            back = (server.recv, self.connection.sendall)
            threading.Thread(target=_copy, args=back, daemon=True).start()
            _copy(self.rfile.read1, server.sendall)
        self.close_connection = True

    def log_message(self, *_arguments: object) -> None:
        pass


def _copy(receive: Callable[[int], bytes], send: Callable[[bytes], object]) -> None:
    with contextlib.suppress(OSError):
        while data := receive(65536):
            send(data)


class Server(ThreadingHTTPServer):
    def handle_error(self, *_arguments: object) -> None:
        """Say nothing of clients that do not trust the certificate."""


@contextmanager
def serving(folder: Path, certificate: bytes | None = None) -> Iterator[str]:
    """Yield the host and the port of a server, with TLS if it has a certificate."""
    with Server(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            (folder / "server.pem").write_bytes(certificate)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(folder / "server.pem")
            # The handshake is made by the thread of each connection.
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment, without proxies and certificates."""
    for name in list(os.environ):
        if name.upper().endswith(("_PROXY", "_CA_BUNDLE")):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[str]:
    """The host and the port of a proxy that is ready to use."""
    with serving(tmp_path) as address:
        yield address


def bundle_of(company: Authority, folder: Path) -> str:
    (folder / "company.pem").write_bytes(company.pem)
    return str(folder / "company.pem")


def check(address: str) -> AirbyteConnectionStatus:
    return in_process.check({**LocalDust().config, "base_url": f"https://{address}"})


@pytest.mark.parametrize(
    ("variable", "is_proxied"),
    [("REQUESTS_CA_BUNDLE", False), ("CURL_CA_BUNDLE", True)],
    ids=["directly", "through a proxy"],
)
def test_with_a_users_own_bundle_certificates_need_not_follow_rfc_5280_to_the_letter(
    env: pytest.MonkeyPatch, proxy: str, tmp_path: Path, variable: str, is_proxied: bool
) -> None:
    """Those of many companies' TLS proxies do not. Python 3.13 refuses them by default."""
    company = Authority(is_critical=False)
    env.setenv(variable, bundle_of(company, tmp_path))
    env.setenv("HTTPS_PROXY", f"http://{proxy}" if is_proxied else "")
    with serving(tmp_path, company.sign()) as address:
        assert check(address).status is Status.SUCCEEDED


def test_a_bundle_may_be_a_folder(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    company = Authority(is_critical=False)
    (tmp_path / FILE_IN_FOLDER).write_bytes(company.pem)
    env.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    with serving(tmp_path, company.sign()) as address:
        assert check(address).status is Status.SUCCEEDED


@pytest.mark.skipif(sys.version_info < (3, 13), reason="only Python 3.13 is strict")
def test_without_a_bundle_verification_is_as_strict_as_pythons(
    env: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    company = Authority(is_critical=False)
    # In place of the certificates that requests comes with.
    env.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", bundle_of(company, tmp_path))
    with serving(tmp_path, company.sign()) as address:
        assert "Missing Authority Key Identifier" in str(check(address).message)


OTHER_HOST = "Hostname mismatch, certificate is not valid for 'localhost'"
TIME_OR_NAME = (
    "Check base_url and this machine's clock. Otherwise the certificate has to be corrected, on "
    "the server or on a proxy that intercepts TLS."
)
OTHER_BUNDLE = (
    "Check base_url, and that REQUESTS_CA_BUNDLE names a PEM file with the certificate of the "
    "authority that signed this one."
)
NO_BUNDLE = "Check base_url. Behind a proxy that intercepts TLS, set REQUESTS_CA_BUNDLE."


@pytest.mark.parametrize("is_proxied", [False, True], ids=["directly", "through a proxy"])
@pytest.mark.parametrize(
    ("server", "has_bundle", "reason", "advice"),
    [
        ({"valid_days": -1}, True, "certificate has expired", TIME_OR_NAME),
        ({"host": "other.example"}, True, OTHER_HOST, TIME_OR_NAME),
        (None, True, "unable to get local issuer certificate", OTHER_BUNDLE),
        (None, False, "unable to get local issuer certificate", NO_BUNDLE),
    ],
    ids=["expired", "of another host", "of another authority", "no bundle"],
)
def test_a_certificate_that_cannot_be_verified_is_reported_with_openssls_reason(
    env: pytest.MonkeyPatch,
    proxy: str,
    tmp_path: Path,
    server: dict[str, object] | None,
    has_bundle: bool,
    reason: str,
    advice: str,
    is_proxied: bool,
) -> None:
    company = Authority()
    certificate = Authority().sign() if server is None else company.sign(**server)
    env.setenv("REQUESTS_CA_BUNDLE", bundle_of(company, tmp_path) if has_bundle else "")
    env.setenv("HTTPS_PROXY", f"http://{proxy}" if is_proxied else "")
    with serving(tmp_path, certificate) as address:
        assert check(address).message == (
            f"Could not list the data source's documents: the TLS certificate of {address} could "
            f"not be verified: {reason}. {advice}"
        )


def test_the_certificate_of_a_proxy_itself_need_not_follow_rfc_5280_either(
    env: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    company = Authority(is_critical=False)
    env.setenv("REQUESTS_CA_BUNDLE", bundle_of(company, tmp_path))
    certificate = company.sign()
    with serving(tmp_path, certificate) as address, serving(tmp_path, certificate) as proxy:
        env.setenv("HTTPS_PROXY", f"https://{proxy}")
        assert check(address).status is Status.SUCCEEDED


def test_the_certificate_of_a_proxy_that_cannot_be_verified_is_the_proxys(
    env: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env.setenv("REQUESTS_CA_BUNDLE", bundle_of(Authority(), tmp_path))
    with serving(tmp_path, Authority().sign()) as proxy:
        env.setenv("HTTPS_PROXY", f"https://{proxy}")
        message = str(check("dust.tt").message)
    assert f"the TLS certificate of the proxy {proxy} could not be verified: unable to" in message


def test_a_bundle_in_a_folder_that_may_not_be_read_is_named(
    env: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The image does not run as root."""
    if os.geteuid() == 0:
        pytest.skip("root may read all")
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    env.setenv("REQUESTS_CA_BUNDLE", str(folder / "ca.pem"))
    assert "from which no certificates can be read" in str(check("dust.tt").message)


def test_an_https_url_of_a_proxy_that_does_not_use_tls_is_reported(
    env: pytest.MonkeyPatch, proxy: str
) -> None:
    env.setenv("HTTPS_PROXY", f"https://{proxy}")
    assert check("dust.tt").message == (
        f"Could not list the data source's documents: the proxy {proxy} does not use TLS. Begin "
        "the proxy's URL in HTTPS_PROXY with http://, not https://."
    )
