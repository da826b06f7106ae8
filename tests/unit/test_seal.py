"""What names a credential: every fact that a token was asked for with, the description of a bank included."""

from __future__ import annotations

from paysync_cli.banks.seal import Seal
from tests.declared import bank_profile, described


def fingerprint(**changes: object) -> str:
    return Seal(bank_profile(described(**changes)), b"salt").fingerprint


def test_another_description_is_another_credential() -> None:
    same = fingerprint()
    assert fingerprint(auth={"scope": "more"}) != same
    assert fingerprint(auth={"token_url": "/elsewhere"}) != same
    assert fingerprint() == same


def test_the_order_of_its_keys_is_not() -> None:
    one = Seal(bank_profile({"auth": {"kind": "basic", "refused": [401]}, "answer": {}}), b"salt")
    other = Seal(bank_profile({"answer": {}, "auth": {"refused": [401], "kind": "basic"}}), b"salt")
    assert one.open(other.close("token")) == "token"
