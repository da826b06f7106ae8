"""One QR whole, over the tabs; Escape goes back."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Static

from paysync_cli.language import _
from paysync_cli.views.explain import ExplainView
from paysync_cli.views.sheet import Sheet
from paysync_cli.views.show import QrView
from paysync_cli.views.top.desk import Look, QrKey
from paysync_cli.views.top.head import Head
from paysync_cli.views.top.panes import Act


class StoryScreen(Screen[None]):
    """What `paysync explain` and `paysync show` say of it, kept up to date."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", _("Back")),
        Binding("R", "act('retry')", _("Retry")),
        Binding("N", "act('plan')", _("Ask soon")),
        Binding("C", "act('check')", _("Check now")),
    ]

    def __init__(self, key: QrKey) -> None:
        super().__init__()
        self.key = key

    def compose(self) -> ComposeResult:
        yield Head(id="head", markup=False)
        with VerticalScroll():
            yield Static(id="story", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def show(self, look: Look, sheet: Sheet) -> None:
        """Show the QR, unless this look was about another one."""
        story = look.story
        if story is None or story.qr.qr.qr_id != self.key.qr_id:
            return
        ExplainView(story.why).human(sheet)
        sheet.line()
        QrView(story.qr).human(sheet)
        self.query_one("#story", Static).update(sheet.group())

    def action_act(self, what: str) -> None:
        self.post_message(Act(what, self.key))
