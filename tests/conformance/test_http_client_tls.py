"""TLS: who is trusted, and that kept connections behave as plain ones do."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.addresses import AddressPolicy
from app.http_client import HttpClient, Request, TransportError
from tests.fakes.hostile_server import HostileServer, Play, Wire

LOOPBACK = AddressPolicy.parse("127.0.0.0/8")


@pytest.fixture(name="certificate", scope="module")
def make_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    path = tmp_path_factory.mktemp("tls") / "loopback.pem"
    path.write_bytes(pem)
    return path


def answer_once(wire: Wire) -> None:
    wire.read_request()
    wire.answer(b"%d" % wire.number)


def answer_all(wire: Wire) -> None:
    while wire.read_request():
        wire.answer(b"%d" % wire.number)


def server_of(certificate: Path, play: Play = answer_all) -> HostileServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return HostileServer(play, tls=context)


def test_a_trusted_server_is_read_over_one_kept_connection(certificate: Path) -> None:
    http = HttpClient(LOOPBACK, user_agent="t", ca_file=str(certificate))
    with server_of(certificate) as server:
        for _ in range(3):
            assert http.request(Request("GET", server.url)).body == b"1"
        http.close()


def test_a_connection_closed_meanwhile_goes_unnoticed(certificate: Path) -> None:
    http = HttpClient(LOOPBACK, user_agent="t", ca_file=str(certificate))
    with server_of(certificate, answer_once) as server:
        for number in range(1, 4):
            assert http.request(Request("GET", server.url)).body == b"%d" % number
            server.wait_for_close()
        http.close()


def test_an_unknown_certificate_is_refused(certificate: Path) -> None:
    http = HttpClient(LOOPBACK, user_agent="t")
    with server_of(certificate) as server, pytest.raises(TransportError) as caught:
        http.request(Request("GET", server.url))
    assert caught.value.kind == "tls"


def test_a_certificate_for_another_name_is_refused(certificate: Path) -> None:
    http = HttpClient(LOOPBACK, user_agent="t", ca_file=str(certificate))
    with server_of(certificate) as server, pytest.raises(TransportError) as caught:
        http.request(Request("GET", server.url.replace("127.0.0.1", "localhost")))
    assert caught.value.kind == "tls"


def test_certificate_variables_are_not_asked(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(certificate))
    http = HttpClient(LOOPBACK, user_agent="t")
    with server_of(certificate) as server, pytest.raises(TransportError):
        http.request(Request("GET", server.url))
