"""How `paysync redis` looks."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from paysync_cli.language import _
from paysync_cli.views.base import View
from paysync_cli.views.page import BAD, GOOD, NOTICE, QUIET, Page, Styled

if TYPE_CHECKING:
    from paysync_cli.queue.embedded import EmbeddedStatus


class RedisView(View):
    """The embedded server; `used` is False when REDIS_URL names another Redis."""

    def __init__(self, status: EmbeddedStatus, *, used: bool) -> None:
        self._status = status
        self._used = used

    def data(self) -> object:
        return {**asdict(self._status), "used": self._used}

    def human(self, page: Page) -> None:
        status = self._status
        server = f"{status.flavour} {status.version}" if status.version else None
        page.fields(
            [
                (_("State"), _state(status.state)),
                (_("Pid"), status.pid),
                (_("URL"), status.url),
                (_("Server"), server),
                (_("Binary"), status.binary),
                (_("Folder"), status.folder),
                (_("Log"), status.log),
                (_("Kept on"), _yes_no(status.keep)),
                (_("In use by others"), _yes_no(status.others_attached)),
            ]
        )
        if not self._used:
            page.line(Styled(_("REDIS_URL names another Redis: paysync does not use this one."), NOTICE))


class RedisUrlView(View):
    """The URL (or the command line for redis-cli) alone, so that a shell can take it."""

    def __init__(self, url: str, redis_cli: str | None, *, show_command: bool, revealed: bool, embedded: bool) -> None:
        self._url = url
        self._redis_cli = redis_cli
        self._show_command = show_command
        self._revealed = revealed
        self._embedded = embedded

    def data(self) -> object:
        return {
            "url": self._url,
            "redis_cli": self._redis_cli,
            "revealed": self._revealed,
            "embedded": self._embedded,
        }

    def human(self, page: Page) -> None:
        page.line(self._redis_cli if self._show_command else self._url)


def _state(state: str) -> Styled:
    words = {
        "stopped": Styled(_("stopped"), QUIET),
        "running": Styled(_("running"), GOOD),
        "loading": Styled(_("loading its data"), NOTICE),
        "cannot_write": Styled(_("cannot write to its disk"), BAD),
        "not_answering": Styled(_("does not answer"), BAD),
    }
    return words[state]


def _yes_no(value: bool | None) -> str | None:
    return None if value is None else _("yes") if value else _("no")
