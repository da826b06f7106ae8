"""Bring the Spanish catalogue up to date with the source: `python -m docs.generate.translations`.

Messages are read from the syntax tree, so that every version of Python finds the same ones (also inside f-strings).
Translations are kept; new messages come in empty, and those that nobody says any more go. The command then compiles
the catalogue, tells what is not translated yet, and exits 1 while anything is.
"""

from __future__ import annotations

import ast
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "paysync_cli"
PO = SOURCE / "locale" / "es" / "LC_MESSAGES" / "paysync.po"
MO = PO.with_suffix(".mo")

# The functions of paysync_cli.language: which of their arguments are (context,) message, (plural).
_MESSAGE = {"_": (0,), "mark": (0,), "ngettext": (0, 1), "pgettext": (1,)}


@dataclass(frozen=True)
class Found:
    """One message of the source; `plural` and `context` where it has them."""

    text: str
    plural: str | None
    context: str | None
    file: str

    @property
    def id(self) -> str | tuple[str, str]:
        return self.text if self.plural is None else (self.text, self.plural)


class _Catalogue(Catalog):
    """A catalogue whose head tells nothing that changes by itself: no dates, no tool's version."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        fleeting = ("POT-Creation-Date", "PO-Revision-Date", "Generated-By", "Last-Translator", "Report-Msgid-Bugs-To")
        return [(name, value) for name, value in self._get_mime_headers() if name not in fleeting]

    @mime_headers.setter
    def mime_headers(self, headers: list[tuple[str, str]]) -> None:
        self._set_mime_headers(headers)


def extract(folder: Path = SOURCE) -> list[Found]:
    """Every message of the source, by file and place. Raises ValueError for one that is not a plain text."""
    return [found for file in sorted(folder.rglob("*.py")) for found in _in_file(file)]


def _in_file(file: Path) -> Iterator[Found]:
    name = file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else file.name
    for call in _calls(ast.parse(file.read_text(encoding="utf-8"))):
        said = call.func.id if isinstance(call.func, ast.Name) else ""
        if said not in _MESSAGE or file.name == "language.py":
            continue
        texts = [call.args[place] for place in _MESSAGE[said]]
        if any(isinstance(text, ast.JoinedStr | ast.BinOp) for text in texts):
            raise ValueError(f"{name}, line {call.lineno}: a message is one plain text; use .format after {said}()")
        words = [text.value for text in texts if isinstance(text, ast.Constant) and isinstance(text.value, str)]
        if len(words) == len(texts):
            context = ast.literal_eval(call.args[0]) if said == "pgettext" else None
            yield Found(words[0], words[1] if len(words) > 1 else None, context, name)


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    """As they stand in the file; by the tree, since Pythons differ in the places they tell inside an f-string."""
    if isinstance(node, ast.Call):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _calls(child)


def load(text: str) -> Catalog:
    """The catalogue in a .po file's text."""
    read = read_po(io.BytesIO(text.encode()), locale="es", domain="paysync")
    catalogue = _Catalogue(
        locale="es", domain="paysync", project="paysync", charset="utf-8", fuzzy=False,
        header_comment=read.header_comment,
    )  # fmt: skip
    catalogue.language_team = "es"
    for message in read:
        if message.id:
            catalogue[message.id] = message
    return catalogue


def merge(old: Catalog, found: list[Found]) -> Catalog:
    """The messages that were found, in their order, with the translations of the old catalogue."""
    new = load("")
    new.header_comment = old.header_comment
    for one in found:
        before = old.get(one.text, one.context)
        said = before.string if before is not None and before.id == one.id else ""
        new.add(one.id, said, locations=[(one.file, 0)], context=one.context)
    return new


def po_text(catalogue: Catalog) -> str:
    """The .po file of a catalogue."""
    target = io.BytesIO()
    write_po(target, catalogue, width=116, include_lineno=False, ignore_obsolete=True)
    return target.getvalue().decode()


def mo_bytes(catalogue: Catalog) -> bytes:
    """The .mo file of a catalogue: the same bytes for the same .po file."""
    target = io.BytesIO()
    write_mo(target, catalogue)
    return target.getvalue()


def untranslated(catalogue: Catalog) -> list[str]:
    """Messages without a translation, or with one plural form missing."""
    return [str(message.id) for message in catalogue if message.id and not _whole(message.string)]


def _whole(said: object) -> bool:
    return all(said) if isinstance(said, tuple | list) else bool(said)


def main() -> int:
    PO.parent.mkdir(parents=True, exist_ok=True)
    old = load(PO.read_text(encoding="utf-8") if PO.exists() else "")
    catalogue = merge(old, extract())
    PO.write_text(po_text(catalogue), encoding="utf-8")
    MO.write_bytes(mo_bytes(load(po_text(catalogue))))
    missing = untranslated(catalogue)
    for text in missing:
        print(f"not translated: {text}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
