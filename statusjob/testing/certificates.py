"""Self-signed certificates for tests. They are made on demand and kept in memory only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import ssl
from twisted.internet.abstract import isIPAddress, isIPv6Address


@cache
def self_signed_options(host: str) -> ssl.CertificateOptions:
    """
    Make the TLS options of a server, with a self-signed certificate.

    @param host: a host name or an IP address.
    @return: options for C{reactor.listenSSL(port, factory, self_signed_options(host))}. They are
        the same at every call with the same host, so a client can be told to trust their
        C{certificate}.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    is_address = isIPAddress(host) or isIPv6Address(host)
    general = x509.IPAddress(ip_address(host)) if is_address else x509.DNSName(host)
    alternative = x509.SubjectAlternativeName([general])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    # Twisted's signature asks for wrappers of pyOpenSSL, which are deprecated.
    return ssl.CertificateOptions(
        privateKey=cast(Any, key),
        certificate=cast(Any, certificate),
        # If the client offers protocols and the server accepts none, Twisted with OpenSSL 4 fails
        # the handshake.
        acceptableProtocols=[b"http/1.1"],
    )
