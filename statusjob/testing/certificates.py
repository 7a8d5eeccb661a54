"""Certificates that nobody should trust. They are made when asked for and kept in memory only."""

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
    A server's options, with a certificate for a name or an IP address that only itself vouches
    for.

    @return: to listen with: C{reactor.listenSSL(port, factory, self_signed_options(host))}.
        The same for the same host: a client may be made to trust their C{certificate}.
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
    # pyOpenSSL warns of its own wrappers, which is all that Twisted's signature knows.
    return ssl.CertificateOptions(
        privateKey=cast(Any, key),
        certificate=cast(Any, certificate),
        # Twisted and OpenSSL 4 together fail a handshake that offers any where we accept none.
        acceptableProtocols=[b"http/1.1"],
    )
