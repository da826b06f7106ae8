"""From one page of a list to the next, and the end of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urljoin, urlsplit, urlunsplit

from paysync_cli.banks.base import Unreadable
from paysync_cli.banks.declared.expression import Expression, Unfit
from paysync_cli.banks.declared.spec import Paging
from paysync_cli.banks.declared.template import Value
from paysync_cli.banks.wire import printable, whole_number

MAX_CURSOR = 4096

_ADDRESS = re.compile(r"[\x21-\x7e]{1,4096}", re.ASCII)


class Pages:
    """Where we are in one list. `values` and `url` say how the next page is asked for; `url` is None where the request
    is built from its template.
    """

    def __init__(self, paging: Paging) -> None:
        self._paging = paging
        self._number = paging.first
        self._cursor: str | None = None
        self._seen: set[str] = set()
        self._before: Sequence[object] = ()
        self.url: str | None = None

    @property
    def values(self) -> Mapping[str, Value]:
        return {"page": self._number, "page_size": self._paging.size, "cursor": self._cursor}

    def step(self, answer: object, elements: Sequence[object], url: str) -> bool:
        """Move on to the next page; False when this was the last one. `url` is where this one came from.

        Raises Unreadable when the bank does not say what follows, or leads in a circle or to another place.
        """
        kind = self._paging.kind
        if kind == "page":
            return self._next_number(answer, elements)
        if kind == "cursor":
            return self._next_cursor(answer)
        return kind == "next_link" and self._next_link(answer, url)

    def _next_number(self, answer: object, elements: Sequence[object]) -> bool:
        if elements and elements == self._before:
            raise Unreadable("two pages of the list are the same: the bank does not heed the page number")
        self._before = elements
        self._number += 1
        if self._paging.pages is not None:
            pages = whole_number(_found(self._paging.pages, answer))
            if pages is None:
                raise Unreadable(f"no number of pages where {self._paging.pages.text} looks")
            return self._number - self._paging.first < pages
        if self._paging.more is not None:
            return self._says_more(self._paging.more, answer)
        return bool(elements)

    def _next_cursor(self, answer: object) -> bool:
        if self._paging.more is not None and not self._says_more(self._paging.more, answer):
            return False
        cursor = _found(self._paging.cursor, answer)
        if isinstance(cursor, int) and not isinstance(cursor, bool):
            cursor = str(cursor)
        if cursor is None or cursor == "":
            if self._paging.more is not None:
                raise Unreadable("the bank says that more follows and gives no cursor")
            return False
        if not isinstance(cursor, str) or len(cursor) > MAX_CURSOR:
            raise Unreadable("the cursor of the next page is not readable")
        self._once(cursor)
        self._cursor = cursor
        return True

    def _next_link(self, answer: object, url: str) -> bool:
        link = _found(self._paging.link, answer)
        if link is None or link == "":
            return False
        if not isinstance(link, str) or not _ADDRESS.fullmatch(link):
            raise Unreadable("the address of the next page is not readable")
        following = _joined(url, link)
        if following is None or _origin(following) != _origin(url):
            # Our credential goes with the request: it goes to the configured bank and nowhere else.
            raise Unreadable("the address of the next page is at another place than the bank's, and is not followed")
        self._once(following)
        self.url = following
        return True

    def _once(self, place: str) -> None:
        if place in self._seen:
            raise Unreadable("the pages of the list go round in a circle")
        self._seen.add(place)

    @staticmethod
    def _says_more(more: Expression, answer: object) -> bool:
        said = _found(more, answer)
        if not isinstance(said, bool):
            raise Unreadable(f"no true or false where {more.text} looks for whether more follows")
        return said


def _found(expression: Expression | None, answer: object) -> object:
    if expression is None:
        return None
    try:
        return expression.of(answer)
    except Unfit as unfit:
        raise Unreadable(f"the page does not fit: {printable(str(unfit))}") from None


def _joined(url: str, link: str) -> str | None:
    """The link as seen from the page it stands on, without a fragment; None for no address, or one with a user."""
    try:
        parts = urlsplit(urljoin(url, link))
        usable = parts.hostname is not None and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return None
    return urlunsplit(parts._replace(fragment="")) if usable else None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
