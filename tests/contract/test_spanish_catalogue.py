"""The Spanish catalogue: complete, up to date, compiled, and no sentence lost what a program or a person needs.

After a change of the source's words: `python -m docs.generate.translations`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Message

from docs.generate import translations
from paysync_cli.cli import main

CATALOGUE = translations.load(translations.PO.read_text(encoding="utf-8"))

# What Spanish says like English: names, units, and words of the trade.
ALIKE = {
    "{option}: {problem}", "{what}: {cause}.", "{qr}: {why}", "{bank}, {day}: {words}.", "{qr}: {outcome}: {error}",
    "{rate:.0f}/s",
    "--in: {problem}", "--tz: {problem}", "paysync release {qr}", "{bank}, {day}", "{parts}.", "{qr}: {status}",
    "QR {qr}: {old} -> {new}", "{n} ms", "debug, info, warning or error.", "production or certification.", "error",
    "Error", "Host", "ID", "Id", "Jobs", "Log", "N", "No", "Pid", "QR", "Redis", "Seq", "Shell", "URL", "Worker",
    "Workers", "bash", "final", "fish", "job", "ms", "no", "ok", "plan", "redis", "snapshots", "workers", "Plan",
}  # fmt: skip


def messages() -> Iterator[Message]:
    return (message for message in CATALOGUE if message.id)


def pairs() -> Iterator[tuple[str, str]]:
    """Each source text beside each of its translations; plural forms against the plural."""
    for message in messages():
        if isinstance(message.id, str):
            yield message.id, str(message.string)
        else:
            one, many = message.id
            yield one, message.string[0]
            yield many, message.string[1]


def test_it_has_what_the_source_says_now_and_nothing_else() -> None:
    fresh = translations.po_text(translations.merge(CATALOGUE, translations.extract()))
    assert fresh == translations.PO.read_text(encoding="utf-8"), "run: python -m docs.generate.translations"


def test_it_is_compiled() -> None:
    assert translations.mo_bytes(CATALOGUE) == translations.MO.read_bytes(), "run: python -m docs.generate.translations"


def test_the_files_tell_no_moment_and_no_tool() -> None:
    text = translations.PO.read_text(encoding="utf-8")
    assert not re.search(r"Date:|Generated-By|Babel", text)
    assert b"Date" not in translations.MO.read_bytes().split(b"Content-Type")[0]


def test_every_message_is_translated_and_none_is_a_guess() -> None:
    assert translations.untranslated(CATALOGUE) == []
    assert [message.id for message in messages() if message.fuzzy] == []
    assert [message.id for message in messages() if isinstance(message.id, tuple) and len(message.string) != 2] == []


def test_what_reads_like_english_is_meant_to() -> None:
    assert {source for source, said in pairs() if source == said} - ALIKE == set()


def test_placeholders_are_the_same_ones() -> None:
    for source, said in pairs():
        assert Counter(re.findall(r"{[^{}]*}", source)) == Counter(re.findall(r"{[^{}]*}", said)), (source, said)


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("options", r"(?<![\w-])--?[a-z][a-z-]*\b"),
        ("variables", r"\b(?:PAYSYNC_\w*|PAYMENT_SYNC_INTERVAL|REDIS_URL|DATABASE_URL|NO_COLOR|TMPDIR)"),
        ("JSON keys, columns and settings", r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b"),
        ("commands", r"`[^`]*`"),
        ("addresses", r"\b[a-z+]+://"),
        ("line ends", r"\n"),
        ("exit statuses", r"\b(?:124|75|69|130|143)\b"),
    ],
)
def test_what_a_person_types_is_the_same(what: str, pattern: str) -> None:
    for source, said in pairs():
        assert Counter(re.findall(pattern, source)) == Counter(re.findall(pattern, said)), (what, source, said)


def test_nothing_at_the_ends_differs() -> None:
    """Spaces, since some pieces are put together; the full stop, since others are sentences."""
    for source, said in pairs():
        assert re.match(r"\s*", source)[0] == re.match(r"\s*", said)[0], source  # type: ignore[index]
        assert re.search(r"\s*$", source)[0] == re.search(r"\s*$", said)[0], source  # type: ignore[index]
        assert source.rstrip().endswith((".", ":", "?")) == said.rstrip().endswith((".", ":", "?")), (source, said)
        assert source.startswith("#") == said.startswith("#"), source


def test_spanish_asks_and_spells_like_spanish() -> None:
    for source, said in pairs():
        if source.rstrip().endswith("?"):
            assert "¿" in said, said
        assert not re.search(r"\b(?:vosotros|vuestr[oa]s?|\w+(?:áis|éis))\b", said), said
        assert "  " not in said or "  " in source, said


# -- the words that stand for values


NEUTRAL = {"D", "ID", "N", "N/s", "QR", "SHELL", "TOKEN", "URL"}  # the same in both languages


def metavars() -> set[str]:
    """Every word that stands for a value in some help page."""
    tree = main.command_tree()
    context = tree.make_context("paysync", [], resilient_parsing=True)
    found, commands = set(), [tree]
    while commands:
        command = commands.pop()
        for param in command.params:
            if getattr(param, "metavar", None) or param.param_type_name == "argument":
                found.add(param.metavar or param.name.upper())
        if hasattr(command, "list_commands"):
            commands += [command.get_command(context, name) for name in command.list_commands(context)]
    return found


def test_the_words_for_values_are_translated() -> None:
    known = {message.id for message in messages()}
    assert {word for word in metavars() if word not in known} - NEUTRAL == set()


# -- the tool


def test_every_form_of_a_message_is_found(tmp_path: Path) -> None:
    (tmp_path / "some.py").write_text(
        "_('plain')\nf'{_(\"inside\")}!'\nmark('marked')\nngettext('{n} one', '{n} many', n)\n"
        "pgettext('said of', 'context')\n_('in ' 'two pieces')\n_(variable)\nother('no')\n"
    )
    found = {(one.id, one.context) for one in translations.extract(tmp_path)}
    assert found == {
        ("plain", None), ("inside", None), ("marked", None), (("{n} one", "{n} many"), None), ("context", "said of"),
        ("in two pieces", None),
    }  # fmt: skip


@pytest.mark.parametrize("wrong", ["_(f'{n} QRs')", "_('a' + b)", "_('%s' % n)"])
def test_a_message_that_no_catalogue_can_have_is_refused(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "some.py").write_text(wrong)
    with pytest.raises(ValueError, match="one plain text"):
        translations.extract(tmp_path)


def test_a_merge_keeps_translations_and_brings_and_takes_messages() -> None:
    old = translations.load('msgid "stays"\nmsgstr "queda"\n\nmsgid "goes"\nmsgstr "se va"\n')
    new = translations.merge(old, [
        translations.Found("comes", None, None, "a.py"),
        translations.Found("stays", None, None, "b.py"),
        translations.Found("stays", None, "another sense", "b.py"),
    ])  # fmt: skip
    assert [(one.id, one.context, one.string) for one in new if one.id] == [
        ("comes", None, ""), ("stays", None, "queda"), ("stays", "another sense", ""),
    ]  # fmt: skip
    assert translations.untranslated(new) == ["comes", "stays"]
