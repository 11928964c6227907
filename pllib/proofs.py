"""How a manager proves who it is before a client tells it anything: by a challenge over the token.

The client sends a nonce, and the manager answers with an HMAC of it under the token, which only who
may read the endpoint file knows.  So nothing secret goes to a stranger who took its port.

The HMAC is also of the manager's address and of the network that its loopback belongs to, as each
side sees it: a stranger on another node who forwards the challenge to the real manager answers for
the wrong network.  Where a certificate proves the manager no challenge is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets

from .launch import boot_id

PATH = "/v1/proof"
NONCE = "^[0-9a-f]{64}$"
_PURPOSE = "sprov manager 1"


def new_nonce() -> str:
    return secrets.token_hex(32)


def prove(token: str, nonce: str, url: str) -> str:
    """Return the proof that who knows the token is at an address, in hexadecimal.

    Args:
        url: The manager's, as the endpoint file has it.
    """
    claim = "\n".join((_PURPOSE, nonce, url, network(url)))
    return hmac.new(token.encode(), claim.encode(), hashlib.sha256).hexdigest()


def is_proof(given: object, token: str, nonce: str, url: str) -> bool:
    """Tell whether an answer is the proof."""
    is_text = isinstance(given, str) and re.fullmatch(NONCE, given) is not None
    return is_text and hmac.compare_digest(str(given), prove(token, nonce, url))


def network(url: str) -> str:
    """Return which network this process reaches an address on: of a kernel and its namespace.

    A Unix socket is where its folder is, whatever the network.
    """
    if url.startswith("unix:"):
        return ""
    try:
        namespace = os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116
    except OSError:
        namespace = 0
    return f"{boot_id()} {namespace}"
