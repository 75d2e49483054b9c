"""Verifies a DSSE envelope with securesystemslib: ENVELOPE_FILE PUBLIC_KEY_HEX. Ends with 1 where it does not hold."""

import json
import pathlib
import sys

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

file, public = sys.argv[1:]
document = json.loads(pathlib.Path(file).read_bytes())
# The library looks keys up by the id that the envelope names; which key that is, is said by the caller.
key = SSlibKey(document["signatures"][0]["keyid"], "ed25519", "ed25519", {"public": public})
try:
    Envelope.from_dict(document).verify([key], 1)
except VerificationError as error:
    print(error, file=sys.stderr)
    sys.exit(1)
