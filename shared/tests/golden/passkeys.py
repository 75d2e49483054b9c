#!/usr/bin/env python3
"""Makes passkeys.json: assertions of passkeys, made here with `cryptography` and checked with `webauthn` (PyPI).

Neither shares code with the verifier under test. Keys are fixed and P-256 signatures are random, so a new run gives other
bytes that must be accepted and refused alike.

    pip install cryptography webauthn && ./passkeys.py > passkeys.json
"""
import base64
import hashlib
import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from webauthn import verify_authentication_response
from webauthn.helpers import encode_cbor

RP, ORIGIN = "assent.example.org", "https://assent.example.org:8443"
MESSAGE = b'DSSEv1 28 application/vnd.in-toto+json 13 {"approved":1}'

UP, UV, BE, BS, AT, ED = 1, 4, 8, 16, 64, 128


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class P256:
    name = "ES256"
    key = ec.derive_private_key(0x5EED, ec.SECP256R1())

    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def cose(self) -> bytes:
        point = self.public()
        return encode_cbor({1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))


class Ed25519:
    name = "EdDSA"
    key = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x42" * 32)

    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def cose(self) -> bytes:
        return encode_cbor({1: 1, 3: -8, -1: 6, -2: self.public()})

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data)


def client_data(**bent) -> bytes:
    data = {
        "type": "webauthn.get",
        "challenge": b64url(hashlib.sha256(MESSAGE).digest()),
        "origin": ORIGIN,
        "crossOrigin": False,
    }
    data.update(bent)
    return json.dumps({k: v for k, v in data.items() if v is not None}, separators=(",", ":")).encode()


def authenticator_data(rp=RP, flags=UP | UV, extra=b"", counter=7) -> bytes:
    return hashlib.sha256(rp.encode()).digest() + bytes([flags]) + counter.to_bytes(4, "big") + extra


def vector(key, why, good, cdj=None, ad=None, bend=lambda sig: sig, signed=None):
    cdj = client_data() if cdj is None else cdj
    ad = authenticator_data() if ad is None else ad
    sig = bend(key.sign((ad if signed is None else signed) + hashlib.sha256(cdj).digest()))
    if good:
        verify_authentication_response(
            credential={
                "id": b64url(b"id"), "rawId": b64url(b"id"), "type": "public-key", "clientExtensionResults": {},
                "response": {
                    "clientDataJSON": b64url(cdj), "authenticatorData": b64url(ad), "signature": b64url(sig),
                },
            },
            expected_challenge=hashlib.sha256(MESSAGE).digest(),
            expected_rp_id=RP,
            expected_origin=ORIGIN,
            credential_public_key=key.cose(),
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    return {
        "why": f"{key.name}: {why}", "good": good, "public": b64(key.public()),
        "ad": b64(ad), "cdj": b64(cdj), "sig": b64(sig),
    }


def vectors(key):
    text = client_data().decode()
    double = text.replace('"type"', '"type":"webauthn.get","type"').encode()
    yield vector(key, "as a browser sends it", True)
    yield vector(key, "a key that is on several devices", True, ad=authenticator_data(flags=UP | UV | BE | BS))
    yield vector(key, "with extensions", True, ad=authenticator_data(flags=UP | UV | ED, extra=encode_cbor({"x": 1})))
    yield vector(key, "further members of client data", True, cdj=client_data(other_keys_can_be_added_here="x"))
    yield vector(key, "without crossOrigin", True, cdj=client_data(crossOrigin=None))
    other = b64url(hashlib.sha256(MESSAGE + b" ").digest())
    for why, cdj in [
        ("challenge of something else", client_data(challenge=other)),
        ("challenge in plain base64", client_data(challenge=b64(hashlib.sha256(MESSAGE).digest()))),
        ("made at registration", client_data(type="webauthn.create")),
        ("another origin", client_data(origin="https://assent.example.org.evil.example")),
        ("an origin without its port", client_data(origin="https://assent.example.org")),
        ("from a frame of another origin", client_data(crossOrigin=True)),
        ("beneath a page of another origin", client_data(topOrigin="https://evil.example")),
        ("without a type", client_data(type=None)),
        ("a member twice", double),
        ("no JSON", b"webauthn.get"),
        ("client data without end", client_data(pad="x" * 5000)),
    ]:
        yield vector(key, why, False, cdj=cdj)
    for why, ad in [
        ("another relying party", authenticator_data(rp="evil.example")),
        ("nobody touched it", authenticator_data(flags=UV)),
        ("nobody was verified", authenticator_data(flags=UP)),
        ("with attested data", authenticator_data(flags=UP | UV | AT, extra=b"\0" * 18)),
        ("copied without being able to", authenticator_data(flags=UP | UV | BS)),
        ("extensions promised, none there", authenticator_data(flags=UP | UV | ED)),
        ("bytes that nobody announced", authenticator_data(extra=b"\0")),
        ("cut off", authenticator_data()[:36]),
    ]:
        yield vector(key, why, False, ad=ad)
    yield vector(key, "a counter that was changed", False, signed=authenticator_data(counter=8))
    yield vector(key, "a signature that was changed", False, bend=lambda s: s[:-1] + bytes([s[-1] ^ 1]))
    yield vector(key, "a signature that was cut", False, bend=lambda s: s[:-1])
    yield vector(key, "a signature with more behind it", False, bend=lambda s: s + b"\0")


def main():
    keys = [P256(), Ed25519()]
    found = [v for key in keys for v in vectors(key)]
    for one, other in [keys, keys[::-1]]:
        swapped = vector(one, f"held against the key of {other.name}", False)
        found.append({**swapped, "public": b64(other.public())})
    head = {"rp_id": RP, "origin": ORIGIN, "message": b64(MESSAGE), "vectors": found}
    print(json.dumps(head, indent=1))


main()
