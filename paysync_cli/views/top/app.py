"""The full-screen view: tabs, what stands above them, and the way from a key to a deed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from typing import ClassVar, TypeVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.message import Message
from textual.widgets import Footer, TabbedContent, TabPane

from paysync_cli.errors import PaysyncError
from paysync_cli.language import _, mark
from paysync_cli.services.bank_desk import BankReport
from paysync_cli.views.sheet import Sheet
from paysync_cli.views.text import plain
from paysync_cli.views.top.desk import Desk, Focus, Look, QrKey
from paysync_cli.views.top.dialogs import AskQr, Confirm, Keys
from paysync_cli.views.top.head import Head
from paysync_cli.views.top.panes import (
    Act,
    BanksPane,
    FailuresPane,
    OpenStory,
    OverviewPane,
    Pane,
    QrsPane,
    WorkersPane,
)
from paysync_cli.views.top.pump import Pump
from paysync_cli.views.top.story import StoryScreen

T = TypeVar("T")
MARGINS = 4  # columns left and right, and the scroll bar

TABS: tuple[tuple[str, str, type[Pane]], ...] = (
    ("overview", mark("Overview"), OverviewPane),
    ("banks", mark("Banks"), BanksPane),
    ("workers", mark("Workers"), WorkersPane),
    ("failures", mark("Failures"), FailuresPane),
    ("qrs", mark("QRs"), QrsPane),
)


class Seen(Message):
    """What a look brought: the figures, or why there are none."""

    def __init__(self, what: Look | Exception) -> None:
        super().__init__()
        self.what = what


class TopApp(App[signal.Signals | Exception]):
    """`first` is a look that succeeded. Ends with None, with the signal that ended it, or with an unexpected error."""

    ENABLE_COMMAND_PALETTE = False
    CSS_PATH = "top.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(n), f"tab('{tab}')", _(title), show=False) for n, (tab, title, _pane) in enumerate(TABS, 1)),
        Binding("slash", "ask", _("Open a QR"), key_display="/"),
        Binding("d", "dark", show=False),
        Binding("question_mark", "keys", _("Keys"), key_display="?"),
        Binding("q", "quit", _("Quit")),
        Binding("ctrl+c", "quit", show=False, priority=True),  # also where a dialog waits
    ]

    def __init__(self, desk: Desk, first: Look, *, every_s: float) -> None:
        super().__init__()
        self._desk = desk
        self._last = first
        self._trouble: PaysyncError | None = None
        self._focused = Focus()
        self._pump = Pump(lambda: desk.look(self._focused), self._tell, every_s)

    def compose(self) -> ComposeResult:
        yield Head(id="head", markup=False)
        with TabbedContent(initial="overview", id="tabs"):
            for n, (tab, title, pane) in enumerate(TABS, 1):
                with TabPane(f"{n} {_(title)}", id=tab):
                    yield pane()
        yield Footer()

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGALRM):
            loop.add_signal_handler(number, partial(self.exit, number))
        self._show()
        self._pump.start()

    def on_unmount(self) -> None:
        self._pump.end()

    # -- looking

    def _tell(self, what: Look | Exception) -> None:
        self.post_message(Seen(what))

    def on_seen(self, event: Seen) -> None:
        what = event.what
        if isinstance(what, Look):
            self._last, self._trouble = what, None
        elif isinstance(what, PaysyncError):
            self._trouble = what
        else:
            self.exit(what)
            return
        self._show()

    def _show(self) -> None:
        for screen in self.screen_stack:
            try:
                screen.query_one(Head).show(self._last, self._sheet(), self._trouble)
            except NoMatches:
                continue  # a dialog
            if isinstance(screen, StoryScreen):
                screen.show(self._last, self._sheet())
        if self._last_is_about_the_tab():
            self._pane().show(self._last, self._sheet())

    def _last_is_about_the_tab(self) -> bool:
        return self._last.focus == self._focused and self._focused.qr is None

    def _sheet(self) -> Sheet:
        return Sheet(now=self._last.at, zone=self._desk.zone, width=max(1, self.size.width - MARGINS))

    def _pane(self) -> Pane:
        return self.screen_stack[0].query_one(f"#{self._focused.tab}", TabPane).query_one(Pane)  # type: ignore[type-abstract]

    def _focus_on(self, focus: Focus) -> None:
        self._focused = focus
        self._pump.wake()

    def on_tabbed_content_tab_activated(self, event: TabbedContent.TabActivated) -> None:
        self._focus_on(Focus(event.pane.id or "overview"))
        for widget in event.pane.query("Grid, VerticalScroll"):
            widget.focus()

    def action_tab(self, tab: str) -> None:
        if len(self.screen_stack) == 1:
            self.query_one(TabbedContent).active = tab

    def action_dark(self) -> None:
        self.theme = "textual-light" if self.current_theme.dark else "textual-dark"

    def action_keys(self) -> None:
        self.push_screen(Keys())

    # -- one QR

    def action_ask(self) -> None:
        self.push_screen(AskQr(), self._find)

    def _find(self, qr_id: str | None) -> None:
        if qr_id is not None:
            self._do(lambda: self._desk.find(qr_id), lambda key: self.post_message(OpenStory(key)))

    def on_open_story(self, event: OpenStory) -> None:
        self._focus_on(Focus(self._focused.tab, event.key))
        self.push_screen(StoryScreen(event.key), self._go_back)

    def _go_back(self, _result: None) -> None:
        """A story was left; below it lies another one, or the tabs."""
        stories = [screen.key for screen in self.screen_stack if isinstance(screen, StoryScreen)]
        self._focus_on(Focus(self._focused.tab, stories[-1] if stories else None))

    # -- deeds

    def on_act(self, event: Act) -> None:
        if self._desk.read_only:
            self._complain(_("PAYSYNC_READ_ONLY is set: nothing is changed from here."))
            return
        question, deed = self._deed(event.what, event.about)
        self.push_screen(Confirm(question), lambda yes: self._do(deed, self._say) if yes else None)

    def _deed(self, what: str, about: QrKey | BankReport) -> tuple[str, Callable[[], str]]:
        desk = self._desk
        if isinstance(about, BankReport):
            if about.paused:
                return _("Resume bank {bank}: its QRs are asked about again?").format(bank=about.name), partial(
                    desk.resume, about.name
                )
            return _("Pause bank {bank}: nobody asks it until it is resumed?").format(bank=about.name), partial(
                desk.pause, about.name
            )
        if what == "check":
            return _("Ask the bank about {qr} now, from here?").format(qr=about.qr_id), partial(desk.check_now, about)
        if what == "retry":
            text = _("Retry {qr}: its failed jobs go, and a worker asks about it now?")
            return text.format(qr=about.qr_id), partial(desk.retry, about)
        text = _("Let a worker ask about {qr} now? (Grants one check to a QR that has none left.)")
        return text.format(qr=about.qr_id), partial(desk.plan_now, about)

    def _do(self, deed: Callable[[], T], then: Callable[[T], object]) -> None:
        """Do it on a thread, then go on here; an error of ours is said, the view goes on."""

        def work() -> None:
            try:
                done = deed()
            except PaysyncError as error:
                self.call_from_thread(self._complain, " ".join(filter(None, (error.message, error.hint))))
            else:
                self.call_from_thread(then, done)

        self.run_worker(work, thread=True, exit_on_error=True)

    def _say(self, text: str) -> None:
        self.notify(plain(text), markup=False, timeout=10)
        self._pump.wake()

    def _complain(self, text: str) -> None:
        self.notify(plain(text), markup=False, severity="error", timeout=15)
