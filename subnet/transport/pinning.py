"""TLS with the key that the chain publishes, instead of certificate authorities.

`serve_axon_tls` stores a neuron certificate: one byte naming the algorithm, then up to 64 bytes of public key. The axon
serves a self-signed X.509 certificate of that key; the dendrite accepts exactly that key, and nothing a certificate
authority says.
"""

import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from subnet.errors import TransportError

ALGORITHM_P256 = 1
"""Neuron certificate algorithm: NIST P-256, its point as 64 bytes (x, y), which every TLS library supports."""


class PinnedKeyMismatch(ssl.SSLError):
    """The peer's TLS key is not the one that the chain publishes for it."""


def neuron_certificate(key: ec.EllipticCurvePublicKey) -> bytes:
    """The 65 bytes to publish with `serve_axon_tls`: algorithm, x, y."""
    if not isinstance(key.curve, ec.SECP256R1):
        raise TransportError(f"TLS keys are on P-256, this one is on {key.curve.name}: make a new one")
    numbers = key.public_numbers()
    return bytes([ALGORITHM_P256]) + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def server_context(folder: Path) -> tuple[ssl.SSLContext, bytes]:
    """A TLS context for an axon, and the neuron certificate to publish. The key is made in `folder` at first use."""
    key_path, certificate_path = folder / "tls.key", folder / "tls.crt"
    if not (key_path.exists() and certificate_path.exists()):
        _make(key_path, certificate_path)
    certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    public_key = certificate.public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise TransportError(f"{certificate_path} holds no elliptic-curve key: remove it to have a new one made")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate_path, key_path)
    return context, neuron_certificate(public_key)


def _make(key_path: Path, certificate_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "assay axon")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=3_650))
        .sign(key, hashes.SHA256())
    )
    key_path.parent.mkdir(parents=True, exist_ok=True)
    key_path.touch(mode=0o600)
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def pinned_context(published: bytes) -> ssl.SSLContext:
    """A client context that accepts exactly the published neuron certificate's key."""
    if len(published) != 65 or published[0] != ALGORITHM_P256:
        raise PinnedKeyMismatch(f"neuron certificate {published[:4].hex()}... is of no algorithm that we know")

    class Pinned(ssl.SSLObject):
        """Compares the peer's key as soon as the handshake is done, before a byte of the request is sent."""

        def do_handshake(self) -> None:
            super().do_handshake()
            encoded = self.getpeercert(binary_form=True)
            key = x509.load_der_x509_certificate(encoded).public_key() if encoded else None
            if not isinstance(key, ec.EllipticCurvePublicKey) or neuron_certificate(key) != published:
                raise PinnedKeyMismatch("the peer's TLS key is not the one that the chain publishes for it")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslobject_class = Pinned
    return context
