"""How our credential is shown to the bank, and what a refusal of it leads to.

A fixed credential (basic, bearer, API key) that is refused is stopped at once: another try would not mend it. A token
from a login goes through `Session`, which renews it once and never loops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from paysync_cli.banks.base import BankProfile, BankTools, Refused, Unavailable, Unreadable
from paysync_cli.banks.bearer import LONGEST_LIFETIME_S, basic_pair, token_text
from paysync_cli.banks.declared.spec import SECRET_OPTIONS, Auth, Spec, filled
from paysync_cli.banks.http import Reply, exchange
from paysync_cli.banks.session import FixedCredential, Session, Token
from paysync_cli.banks.wire import decimal_number, quoted

_SHORTEST_LIFETIME_S = 1.0


@dataclass(frozen=True, slots=True)
class Shown:
    """What a request carries for us. `secret` is the text behind it, which must appear nowhere."""

    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    secret: str = field(repr=False)


class Access(Protocol):
    """One credential in use."""

    async def show(self) -> Shown:
        """What the next request carries. Raises Refused, Unavailable, Throttled."""
        ...

    async def accepted(self, shown: Shown) -> None:
        """The bank took a request that carried this."""
        ...

    async def rejected(self, shown: Shown, why: str, *, again: bool) -> None:
        """The bank refused it; returns when the call may be repeated once, with what `show` gives then."""
        ...


def open_access(profile: BankProfile, spec: Spec, tools: BankTools, headers: Mapping[str, str]) -> Access:
    """The credential of this bank; `headers` go with its login too."""
    if spec.auth.kind in ("oauth2", "login"):
        return _LoggedIn(profile, spec, tools, headers)
    return _Fixed(profile, spec.auth, tools)


def secrets_of(profile: BankProfile) -> list[str]:
    """What the settings hold that must not be in any text: a bank may echo what it was sent."""
    return [value for name, value in profile.options.items() if name in SECRET_OPTIONS]


class _Fixed:
    def __init__(self, profile: BankProfile, auth: Auth, tools: BankTools) -> None:
        self._credential = FixedCredential(tools.now, tools.vault)
        self._shown = _fixed(profile.options, auth)

    async def show(self) -> Shown:
        await self._credential.heed_stop()
        return self._shown

    async def accepted(self, shown: Shown) -> None:
        """Nothing to note: it was good before."""

    async def rejected(self, shown: Shown, why: str, *, again: bool) -> None:  # noqa: ARG002 - there is no second try
        raise await self._credential.refused(why)


def _fixed(options: Mapping[str, str], auth: Auth) -> Shown:
    if auth.kind == "none":
        return Shown({}, {}, "")
    if auth.kind == "basic":
        secret = basic_pair(options["username"], options["password"])
    else:
        secret = options["token" if auth.kind == "bearer" else "api_key"]
    if auth.query is not None:
        return Shown({}, {auth.query: secret}, secret)
    return Shown({auth.header: auth.prefix + secret}, {}, secret)


class _LoggedIn:
    def __init__(self, profile: BankProfile, spec: Spec, tools: BankTools, headers: Mapping[str, str]) -> None:
        self._profile, self._spec, self._auth, self._tools, self._headers = profile, spec, spec.auth, tools, headers
        self._session = Session(self._log_in, tools.now, tools.vault)

    async def show(self) -> Shown:
        token = await self._session.token()
        return Shown({self._auth.header: self._auth.prefix + token}, {}, token)

    async def accepted(self, shown: Shown) -> None:
        await self._session.accepted(shown.secret)

    async def rejected(self, shown: Shown, why: str, *, again: bool) -> None:  # noqa: ARG002 - Session has its words
        await self._session.rejected(shown.secret, again=again)

    async def _log_in(self) -> Token:
        """Ask for a token, once. A readable answer without one is Refused; no readable answer is Unavailable."""
        try:
            reply = await (self._ask_oauth2() if self._auth.kind == "oauth2" else self._ask())
            if reply.status in (401, 403):
                raise Refused(f"{reply.describe()}: login refused")
            answer = reply.json()
        except Unreadable as unreadable:
            # HTML or a redirect says nothing about the credential: a gateway spoke, not the bank.
            raise Unavailable(unreadable.message) from None
        token = self._token_of(answer) if 200 <= reply.status < 300 else None
        if token is None:
            raise Refused(f"{reply.describe()}: login refused{self._said(answer)}")
        return token

    async def _ask_oauth2(self) -> Reply:
        """The client credentials grant (RFC 6749, 4.4)."""
        options, auth = self._profile.options, self._auth
        form = {"grant_type": "client_credentials"} | ({"scope": auth.scope} if auth.scope else {})
        headers = dict(self._headers)
        if auth.in_body:
            form |= {"client_id": options["client_id"], "client_secret": options["client_secret"]}
        else:
            headers["authorization"] = f"Basic {basic_pair(options['client_id'], options['client_secret'])}"
        return await exchange(
            self._tools.client, "POST", auth.token_url or "", now=self._tools.now, headers=headers, form=form
        )

    async def _ask(self) -> Reply:
        request = self._auth.request
        if request is None:  # read_spec gives every login its request
            raise Refused("no login is described")
        values = {**self._profile.options, "account": self._profile.account}
        form = request.form
        return await exchange(
            self._tools.client,
            request.method,
            self._profile.base_url.rstrip("/") + request.path.text,
            now=self._tools.now,
            headers=self._headers,
            json=filled(request.json, values),
            form=None if form is None else {name: one.fill(values) or "" for name, one in form.items()},
        )

    def _token_of(self, answer: object) -> Token | None:
        if self._auth.kind == "oauth2":
            answer = answer if isinstance(answer, dict) else {}
            text, lifetime = answer.get("access_token"), answer.get("expires_in")
            if str(answer.get("token_type", "bearer")).lower() != "bearer":
                return None
        else:
            if not self._spec.envelope.says_ok(answer):
                return None
            text = self._auth.find.of_or_none(answer) if self._auth.find is not None else None
            lifetime = self._auth.lifetime.of_or_none(answer) if self._auth.lifetime is not None else None
        token = token_text(text)
        return None if token is None else Token(token, self._lifetime_s(lifetime))

    def _lifetime_s(self, told: object) -> float:
        number = decimal_number(told)
        usable = number is not None and _SHORTEST_LIFETIME_S <= number <= LONGEST_LIFETIME_S
        return float(number) if number is not None and usable else self._auth.lifetime_s

    def _said(self, answer: object) -> str:
        """What the bank said about the refusal, ready to append to a sentence."""
        options, sent = self._profile.options, ""
        if self._auth.kind == "oauth2":
            sent = basic_pair(options["client_id"], options["client_secret"])
            answer = answer if isinstance(answer, dict) else {}
            words = [answer.get(key) for key in ("error", "error_description")]
            text = ": ".join(word for word in words if isinstance(word, str))
        else:
            text = self._spec.envelope.said(answer) or ""
        return quoted(text, sent, *secrets_of(self._profile))
