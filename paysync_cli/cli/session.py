"""What a command body gets: options, settings, the runtime, and the one way to show and to ask."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Protocol

from paysync_cli.cli import failure, streams
from paysync_cli.cli.options import GlobalOptions
from paysync_cli.errors import PaysyncError, RefusedError, UsageError
from paysync_cli.language import _
from paysync_cli.views.base import ListView, View
from paysync_cli.views.document import csv_lines, document, json_lines
from paysync_cli.views.page import Page, PlainPage
from paysync_cli.views.text import plain

if TYPE_CHECKING:
    from rich.console import Console

    from paysync_cli.runtime import Runtime
    from paysync_cli.settings import BankSettings, Settings


class Progress(Protocol):
    """A bar that may be invisible."""

    def advance(self, steps: int = 1) -> None: ...


class Session:
    """One run of one command."""

    def __init__(self) -> None:
        self.command = ""
        self.options = GlobalOptions()
        self.exit_status = 0
        self.json_expected = False  # --json is on the command line, which may not be parsed yet
        self.on_begin: Callable[[float], None] | None = None
        self.document_written = False
        self.creates_database = False
        self.tells_where = False
        self.warns_of_settings = True
        self.silent_when_well = False  # with --quiet people get no report of what went well
        self.pings = False  # whether success is told to PAYSYNC_PING_URL
        self._begun = False
        self._shown = False
        self._overrides: dict[str, str] = {}
        self._settings: Settings | None = None
        self._runtime: Runtime | None = None

    def begin(self) -> None:
        """The command line is parsed and the body follows: from here its `--timeout` counts."""
        self._begun = True
        if self.on_begin is not None and self.options.timeout_s is not None:
            self.on_begin(self.options.timeout_s)

    @property
    def wants_json(self) -> bool:
        """Whether the outcome is told as the JSON document, also when the command line could not be parsed."""
        return self.options.json if self._begun else self.options.json or self.json_expected

    # -- what the command works with

    @property
    def settings(self) -> Settings:
        """The settings, read when first asked. Raises SettingsError."""
        if self._settings is None:
            from paysync_cli.settings import load_settings

            if self.options.ping_url is not None:
                self._overrides["ping_url"] = self.options.ping_url
            self._settings = load_settings(options=self._overrides, config_file=self.options.config)
            # Not into cron's mail each minute: there `doctor` and `config check` tell them.
            if self.warns_of_settings and (self.options.verbose or streams.is_terminal(2)):
                for warning in self._settings.warnings:
                    self.warn(warning.message)
        return self._settings

    @property
    def runtime(self) -> Runtime:
        """Store, queue and banks, opened when first asked; closed when the command ends."""
        if self._runtime is None:
            from paysync_cli.runtime import Runtime

            self._runtime = Runtime(self.settings, create=self.creates_database)
        return self._runtime

    def override(self, **values: object) -> None:
        """Let this command's own options win over the settings: `override(concurrency=8)`; None leaves a key alone.

        Keys are the TOML keys. Must come before the runtime is first asked for.
        """
        if self._runtime is not None:
            raise RuntimeError("the runtime was opened before override()")
        self._settings = None
        self._overrides |= {key: str(value) for key, value in values.items() if value is not None}

    def bank(self, name: str | None) -> BankSettings:
        """The bank meant by `--bank` or by default. Raises SettingsError or UsageError."""
        from paysync_cli.settings import select_bank

        return select_bank(self.settings, name)

    @property
    def zone(self) -> tzinfo | None:
        """The zone people see: `--tz`, PAYSYNC_TZ, else None, which is the machine's."""
        if self.options.tz is not None:
            return self.options.tz
        return self._settings.tz if self._settings is not None else None

    # -- showing

    def show(self, view: View, error: PaysyncError | None = None) -> None:
        """Show the report, once. With `error` the document's status is `partial` (`error` for a UsageError),
        the error's sentences follow the report, and its exit status ends the process: 3 some failed,
        6 condition not met, 69 something unavailable.
        """
        if self._shown:
            raise RuntimeError("a command shows exactly one report")
        self.exit_status = error.exit_status if error else 0
        try:
            self._write(view, error)
            streams.flush_out()
        except BrokenPipeError:
            # The reader has all it wanted (`| head`) and left; what follows goes on as if it had stayed.
            streams.abandon_out()
        self._shown = True
        if error and not self.options.json:
            self.tell(error)

    def _write(self, view: View, error: PaysyncError | None) -> None:
        if self.options.json:
            faults = failure.clean(error.faults, self.redact) if error else []
            text = document(self.command, _status(error), view.data(), faults)
            self.document_written = True
            streams.write_out(text)
        elif self.options.jsonl or self.options.csv:
            self._write_rows(view)
        elif error is not None or not (self.options.quiet and self.silent_when_well):
            view.human(self.page())

    def page(self) -> Page:
        """The page on standard output: a terminal's or a plain one."""
        if not self.on_terminal:
            return PlainPage(streams.write_out, now=datetime.now(UTC), zone=self.zone)
        from paysync_cli.views.page import TerminalPage

        return TerminalPage(self.console(), now=self._now(), zone=self.zone)

    def _now(self) -> datetime:
        """The database's time once one is open: it decided the moments that are shown."""
        opened = self._runtime is not None and "store" in self._runtime.__dict__
        return self._runtime.clock.now() if opened and self._runtime is not None else datetime.now(UTC)

    @property
    def on_terminal(self) -> bool:
        """Whether people watch standard output."""
        return streams.is_terminal(1)

    def console(self) -> Console:
        """Rich on standard output, for live views; only where `on_terminal`."""
        from paysync_cli.cli.terminal import console

        return console(self.options, stderr=False)

    def _write_rows(self, view: View) -> None:
        if not isinstance(view, ListView):
            raise UsageError(_("--jsonl and --csv are for lists; this report takes --json."))
        rows = view.rows()
        for line in json_lines(rows) if self.options.jsonl else csv_lines(rows, view.columns):
            streams.write_out(line)

    def redact(self, text: str) -> str:
        """The text without the secrets of the settings and without credentials in URLs."""
        from paysync_cli.settings.masking import redact

        return redact(text, self._settings.secret_texts if self._settings else ())

    # -- talking (standard error)

    def say(self, text: str) -> None:
        """Talk beside the data; silent with --quiet."""
        if not self.options.quiet:
            streams.write_err(plain(text) + "\n")

    def detail(self, text: str) -> None:
        """Talk that only --verbose shows."""
        if self.options.verbose:
            self.say(text)

    def warn(self, text: str) -> None:
        """A warning; silent with --quiet."""
        self.say(_("warning: {text}").format(text=text))

    def tell(self, error: PaysyncError) -> None:
        """The error's sentences on standard error; its traceback with --debug."""
        colour = streams.is_terminal(2) and not streams.colour_unwanted(self.options.no_color)
        streams.write_err(failure.sentences(error, self.redact, colour=colour))
        self._trace(error)

    def fail(self, error: PaysyncError) -> None:
        """The end of a command that could not show its report: the error document, or the sentences."""
        if not self.wants_json or self.document_written:
            self.tell(error)
            return
        self.document_written = True
        streams.write_out(document(self.command, "error", self._where(), failure.clean(error.faults, self.redact)))
        streams.flush_out()
        self._trace(error)

    def _where(self) -> object:
        """What a failed command still tells: where it looked, when that is promised and the settings can be read."""
        if not self.tells_where:
            return None
        try:
            return {"where": self.runtime.where()}
        except PaysyncError:
            return None

    def _trace(self, error: PaysyncError) -> None:
        if self.options.debug:
            streams.write_err(failure.traced(error, self.redact))

    @contextlib.contextmanager
    def progress(self, total: int | None, title: str) -> Iterator[Progress]:
        """A bar with count and rate on standard error, only on a terminal and without --quiet."""
        if self.options.quiet or not streams.is_terminal(2):
            yield _NoProgress()
            return
        from paysync_cli.cli.terminal import progress_bar

        with progress_bar(self.options, total, title) as bar:
            yield bar

    # -- asking

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only when a person agrees; `question` carries the count. Raises RefusedError (exit 5)."""
        if yes:
            return
        if self.options.no_input or not streams.can_ask():
            raise RefusedError(
                _("This needs a confirmation: {question}").format(question=question), hint=_("Add --yes to do it.")
            )
        streams.write_err(f"{plain(question)} [{_('y/N')}] ")
        if not _agrees(streams.read_line()):
            raise RefusedError(_("Nothing was changed."), code="declined")

    # -- the end

    def ping(self) -> None:
        """Tell the watcher of cron, if there is one, that the command succeeded. That it could not be told is a
        warning: the work is done."""
        if not self.pings or self.exit_status != 0 or self.settings.ping_url is None:
            return
        from paysync_cli.runtime.ping import ping

        trouble = ping(self.settings.ping_url)
        if trouble is not None:
            self.warn(self.redact(trouble))

    def close(self) -> None:
        """Close what was opened."""
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            runtime.close()


def _status(error: PaysyncError | None) -> str:
    if error is None:
        return "ok"
    return "error" if isinstance(error, UsageError) else "partial"


class _NoProgress:
    def advance(self, steps: int = 1) -> None:
        """Nobody watches."""


def _agrees(answer: str) -> bool:
    """Yes in English or in the user's language, with or without its accents."""
    wanted = _unaccented(answer.strip().lower())
    return wanted in ("y", "yes", _unaccented(_("y")), _unaccented(_("yes")))


def _unaccented(text: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFD", text) if not unicodedata.combining(one))
