"""The dialogs: is it meant, which QR, and every key."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static

from paysync_cli.language import _
from paysync_cli.views.text import plain


class Confirm(ModalScreen[bool]):
    """One question; only `y` is a yes. Enter does nothing: it may be meant for the table below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", _("Yes, do it")),
        Binding("n,escape", "dismiss(False)", _("No"), key_display="n"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self.question = question

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(plain(self.question), markup=False)
            yield Static(_("y: yes, do it     n: no"), markup=False, classes="answer")
        yield Footer()


class Keys(ModalScreen[None]):
    """Every key, and the command that does the same."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q", "dismiss", _("Back"), key_display="Esc")]

    def compose(self) -> ComposeResult:
        keys = [
            ("1 2 3 4 5", _("the tabs")),
            ("Enter", _("open the QR under the cursor; Esc goes back")),
            ("/", _("open a QR by its id")),
            ("d", _("dark or light")),
            ("q", _("quit")),
            ("R", "paysync retry QR"),
            ("N", "paysync enqueue QR --now"),
            ("C", "paysync check QR"),
            ("P", "paysync pause BANK, paysync resume BANK"),
        ]
        lines = "\n".join(f"{key:<11}{what}" for key, what in keys)
        with Vertical(classes="dialog"):
            yield Static(lines, markup=False)
            yield Static(_("Capital letters change something, and ask first."), markup=False, classes="answer")
        yield Footer()


class AskQr(ModalScreen[str | None]):
    """The id of a QR, typed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", _("Back"))]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(_("The bank's id of the QR:"), markup=False)
            yield Input(max_length=64)
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)
