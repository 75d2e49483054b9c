"""Checks a log with tlog-scales: DIR with vkey, old, new (checkpoints), proof.json, tile/, witness (key) and cosigned.

Signatures of both checkpoints, the root of the new one computed from the tiles, an inclusion proof and a consistency
proof as the server gives them, and the signature of a witness (C2SP tlog-cosignature, with cryptography). Ends with 1 where something does not hold, naming what.
"""

import base64
import hashlib
import json
import pathlib
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tiles import leaf_hash
from tlog_scales.tlog import (
    Checkpoint,
    ConsistencyProof,
    ConsistencyProofInvalid,
    InclusionProof,
    InclusionProofInvalid,
)

directory = pathlib.Path(sys.argv[1])


def refuse(why):
    print(why, file=sys.stderr)
    sys.exit(1)


vkey = Vkey.from_string((directory / "vkey").read_text().strip())
checkpoints = {}
for name in ("old", "new"):
    checkpoint = Checkpoint.from_text((directory / name).read_text())
    if checkpoint.origin != vkey.name:
        refuse(f"{name}: a checkpoint of {checkpoint.origin}")
    try:
        checkpoint.verify(vkey)
    except (InvalidSignature, RuntimeError) as error:
        refuse(f"{name}: {error!r}")
    checkpoints[name] = checkpoint
old, new = checkpoints["old"], checkpoints["new"]

reader = TilesReader(LocalBackend(directory))
reader.set_size(new.size)
if reader.calculate_root_hash() != new.root_hash:
    refuse("tiles: the root is not that of the checkpoint")
for index in range(new.size):
    if leaf_hash(reader.get_entry(index)) != reader.mth(index, index + 1):
        refuse(f"tiles: entry {index} is not the one of the tree")
proof = json.loads((directory / "proof.json").read_bytes())
inclusion, consistency = proof["inclusion"], proof["consistency"]
leaf = inclusion["leaf"].encode()
if reader.get_entry(inclusion["index"]) != leaf:
    refuse("tiles: the entry is another one")
hashes = [bytes.fromhex(one) for one in inclusion["hashes"]]
try:
    InclusionProof(inclusion["index"], new.size, hashes).check(leaf_hash(leaf), new.root_hash)
    hashes = [bytes.fromhex(one) for one in consistency["hashes"]]
    proof = ConsistencyProof(consistency["old_size"], consistency["new_size"], hashes)
    if (proof.old_size, proof.new_size) != (old.size, new.size):
        refuse("consistency: it is about other checkpoints")
    proof.check(old.root_hash, new.root_hash)
except (InclusionProofInvalid, ConsistencyProofInvalid) as error:
    refuse(repr(error))

# The witness: type 4, a line of key id, time and signature; what is signed begins with the time.
name, key_id, encoded = (directory / "witness").read_text().strip().split("+", 2)
key = base64.b64decode(encoded)
if key[0] != 4 or hashlib.sha256(name.encode() + b"\n" + key).hexdigest()[:8] != key_id:
    refuse("witness: not the key of a witness")
note = (directory / "cosigned").read_text()
text, lines = note.split("\n\n", 1)
Checkpoint.from_text(note).verify(vkey)
signed = 0
for line in lines.splitlines():
    dash, of, blob = line.split(" ")
    raw = base64.b64decode(blob)
    if dash == "\u2014" and of == name and raw[:4].hex() == key_id:
        time = int.from_bytes(raw[4:12], "big")
        message = f"cosignature/v1\ntime {time}\n{text}\n".encode()
        try:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(raw[12:], message)
        except InvalidSignature:
            refuse("witness: the signature is wrong")
        signed += 1
if not signed:
    refuse("witness: it has not signed")
