"""Sealing a token so that only who has the very credential it belongs to can read it."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
from collections.abc import Iterator
from hashlib import sha256

from paysync_cli.banks.base import BankProfile
from paysync_cli.banks.notices import NOTICE_KEYS

NONCE_BYTES = 12
MAX_SEALED = 32 * 1024  # bytes; what is longer is nothing we wrote
_LABEL = b"paysync token 1"


class Seal:
    """Keys derived from one credential: bank, environment, address and all of the adapter's own keys.

    `fingerprint` names the credential without telling it: a changed password, key or address gives another one, so
    that nothing sealed before is found again. `salt` is a secret that lies elsewhere than what is sealed.
    """

    def __init__(self, profile: BankProfile, salt: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        facts: list[object] = [profile.name, profile.environment, profile.base_url, sorted(_of_the_credential(profile))]
        facts += [profile.tables] if profile.tables else []
        secret = HKDF(SHA256(), 96, salt, _LABEL).derive(json.dumps(facts, sort_keys=True, default=str).encode())
        self._cipher = AESGCM(secret[:32])
        self._mark_key = secret[32:64]
        self.fingerprint = _mac(secret[64:], b"credential")

    def close(self, token: str) -> bytes:
        """The token, sealed: base64, so that it holds no spaces."""
        nonce = os.urandom(NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, token.encode(), self._label()))

    def open(self, sealed: bytes) -> str | None:
        """The token; None for anything that was not sealed with this credential, or was tampered with."""
        from cryptography.exceptions import InvalidTag

        if len(sealed) > MAX_SEALED:
            return None
        try:
            raw = base64.b64decode(sealed, validate=True)
            return self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], self._label()).decode()
        except (InvalidTag, binascii.Error, ValueError):
            return None

    def mark(self, token: str) -> str:
        """A name for the token that tells nothing of it."""
        return _mac(self._mark_key, token.encode())

    def _label(self) -> bytes:
        return _LABEL + self.fingerprint.encode()


def _of_the_credential(profile: BankProfile) -> Iterator[tuple[str, str]]:
    """The adapter's keys without those of the notices, which only the web server may know."""
    return ((key, value) for key, value in profile.options.items() if key not in NOTICE_KEYS)


def _mac(key: bytes, message: bytes) -> str:
    return hmac.new(key, message, sha256).hexdigest()[:32]
