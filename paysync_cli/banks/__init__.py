"""What an adapter for a bank is made of: the public names, stable within one PROTOCOL. `docs/writing-a-bank.md` shows
how they fit together.

- The adapter: `Bank`, `ListsPayments`, `Pings` (its methods), `BankProfile` and `BankTools` (what it is given),
  `PROTOCOL` (the version of all this).
- What it answers: `Answer` with a `BankStatus`, `PaidDay`, both with `Payment` and `UnreadablePayment`; `Ask` is the
  question.
- What went wrong: `Unavailable`, `Throttled`, `Refused`, `Unreadable`, `Unknown`, all of them `BankError`; for settings
  that cannot be right `SettingsError` with one `Fault` for each thing that is wrong.
- The bank's notices of payments: `Notices` (the methods), a `Notice` and what becomes of it, `NoticeFate`, its answer
  `NoticeReply`; `notice_object`, `notice_ids` and `json_reply` make them, `NOTICE_KEYS` and `notice_problems` judge the
  settings.
- Asking: `exchange` sends one request and returns a `Reply`; `Session` and `Token` keep a login from becoming a loop,
  `FixedCredential` keeps a refused key from being tried again; `TokenVault` and `MemoryVault` are where they look.
- Reading: `parse_json`, `decimal_number`, `whole_number`, `identifier`, `compact_json`, and `to_minor` with its
  `MoneyError`; `printable` and `quoted` for text that people will see.

Shapes and units: amounts are `Decimal` of the bank's very text in the currency's major unit, currencies ISO 4217 codes,
moments aware datetimes in UTC, ids text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paysync_cli.banks.base import (
        PROTOCOL,
        Bank,
        BankError,
        BankProfile,
        BankTools,
        ListsPayments,
        Pings,
        Refused,
        Throttled,
        TokenVault,
        Unavailable,
        Unknown,
        Unreadable,
    )
    from paysync_cli.banks.http import Reply, exchange
    from paysync_cli.banks.notices import (
        NOTICE_KEYS,
        Notice,
        NoticeFate,
        NoticeReply,
        Notices,
        json_reply,
        notice_ids,
        notice_object,
        notice_problems,
    )
    from paysync_cli.banks.session import FixedCredential, MemoryVault, Session, Token
    from paysync_cli.banks.wire import (
        compact_json,
        decimal_number,
        identifier,
        parse_json,
        printable,
        quoted,
        whole_number,
    )
    from paysync_cli.errors import Fault, SettingsError
    from paysync_cli.payments.money import MoneyError, to_minor
    from paysync_cli.payments.qr import Answer, Ask, PaidDay, Payment, UnreadablePayment
    from paysync_cli.payments.status import BankStatus

__all__ = [
    "NOTICE_KEYS",
    "PROTOCOL",
    "Answer",
    "Ask",
    "Bank",
    "BankError",
    "BankProfile",
    "BankStatus",
    "BankTools",
    "Fault",
    "FixedCredential",
    "ListsPayments",
    "MemoryVault",
    "MoneyError",
    "Notice",
    "NoticeFate",
    "NoticeReply",
    "Notices",
    "PaidDay",
    "Payment",
    "Pings",
    "Refused",
    "Reply",
    "Session",
    "SettingsError",
    "Throttled",
    "Token",
    "TokenVault",
    "Unavailable",
    "Unknown",
    "Unreadable",
    "UnreadablePayment",
    "compact_json",
    "decimal_number",
    "exchange",
    "identifier",
    "json_reply",
    "notice_ids",
    "notice_object",
    "notice_problems",
    "parse_json",
    "printable",
    "quoted",
    "to_minor",
    "whole_number",
]

_PLACES = (
    "paysync_cli.banks.base",
    "paysync_cli.payments.qr",
    "paysync_cli.payments.status",
    "paysync_cli.payments.money",
    "paysync_cli.errors",
    "paysync_cli.banks.wire",
    "paysync_cli.banks.notices",
    "paysync_cli.banks.session",
    "paysync_cli.banks.http",
)  # the light ones first


def __getattr__(name: str) -> object:
    # Loaded when first used: `paysync stats` must not pay for HTTP because it reads the list of banks.
    if name in __all__:
        from importlib import import_module

        for place in _PLACES:
            module = import_module(place)
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
