"""The manual: paysync(1), a page for each command and group, paysync.toml(5). Written by docutils' manpage writer
from a document that is built here node by node, so that no text of the program is ever read as markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from docutils import nodes
from docutils.core import publish_from_doctree
from docutils.utils import new_document

from docs.generate.exits import EXITS, OWN_EXITS
from docs.generate.tree import Argument, Command, Option
from paysync_cli.settings.keys import BANK_KEYS, KEYS, Key
from paysync_cli.version import __version__

_WIDEST_CHOICE = 40
_FILES = (
    (
        "paysync.toml",
        "Settings: in the working directory, ~/.config/paysync/ (macOS: ~/Library/Application Support/paysync/) or "
        "/etc/paysync/. See paysync.toml(5).",
    ),
    (".env", "Variables, in the working directory; they never override the real environment."),
    (
        "~/.local/share/paysync/",
        "The default of PAYSYNC_HOME (macOS: ~/Library/Application Support/paysync/): the books (paysync.db) where no "
        "DATABASE_URL is set, and the embedded Redis (redis/) where no REDIS_URL is.",
    ),
)
# An example of a settings file, which a test reads.
SAMPLE = """\
payment_sync_interval = 5
concurrency = 20
tz = "America/La_Paz"

[banks.baneco]
base_url = "https://bank.example/api"
environment = "certification"
username = "shop"
password_file = "/etc/paysync/baneco.password"
aes_key_file = "/etc/paysync/baneco.aes"
"""


def pages(tree: Command) -> dict[str, str]:
    """Every page by its place in a folder of manuals, as `man` looks for it."""
    made = {"man1/paysync.1": _root(tree), "man5/paysync.toml.5": _settings_page()}
    for command in tree.members:
        made[f"man1/paysync-{command.name}.1"] = _command(command, tree)
    return made


# -- paysync(1)


def _root(tree: Command) -> str:
    groups = [
        part
        for title, members in tree.sections
        for part in (_title(title), _definitions([([_page(one)], [_text(one.gist)]) for one in members]))
    ]
    return _write("paysync", 1, tree.gist, [
        _section("SYNOPSIS", _line(["paysync", "[OPTIONS]", "COMMAND", "..."])),
        _section(
            "DESCRIPTION",
            *_paragraphs(
                "paysync asks the bank about each QR at the right moments, books every payment exactly once, and tells "
                "a person when something does not add up.\n\nSQL says when, the queue says now: every QR is a row with "
                "its status, its plan and its next moment; what is due goes to three RQ queues in Redis, from which "
                "workers take it. Redis may be wiped at any moment: nothing is lost."
            ),
        ),
        _section("COMMANDS", *groups),
        _section("OPTIONS", *_paragraphs("These stand before or after the command."), _options(tree.options)),
        _section("EXIT STATUS", _definitions([([str(one)], [_text(about)]) for one, about in EXITS.items()])),
        _section("EXAMPLES", *_examples(tree.examples)),
        _files(),
        _section(
            "ENVIRONMENT",
            *_paragraphs("Each setting has a variable, which wins over the files. paysync.toml(5) explains them."),
            _definitions(
                [(list(key.variables), [_text(_about(key))]) for key in KEYS]
                + [
                    (["PAYSYNC_BANK_NAME_KEY"], [_text("Any key of a bank's block; NAME and KEY in capitals.")]),
                    (["NO_COLOR"], [_text("When set, no colour.")]),
                    (["LC_ALL", "LC_MESSAGES", "LANG"], [_text("The language, where PAYSYNC_LANG does not say it.")]),
                ]
            ),
        ),
        _see_also([f"paysync-{one.name}(1)" for one in tree.members] + ["paysync.toml(5)"]),
    ])  # fmt: skip


# -- paysync-COMMAND(1)


def _command(command: Command, tree: Command) -> str:
    variables = {name: option for one in command.walk() for option in one.options for name in option.variables}
    own = [_own_options(one, titled=bool(command.members)) for one in command.members or (command,)]
    return _write(f"paysync-{command.name}", 1, command.gist, [
        _section("SYNOPSIS", *_synopses(command)),
        _section("DESCRIPTION", *_paragraphs(command.help), *_default(command)),
        *([_section("COMMANDS", *(part for one in command.members for part in _member(one)))]
          if command.members else []),
        _section("OPTIONS", *(part for parts in own for part in parts), *_shared_options(tree)),
        _section("EXIT STATUS", *_exit_statuses(command)),
        _section("EXAMPLES", *_examples([pair for one in command.walk() for pair in one.examples])),
        _files(),
        _section("ENVIRONMENT", _definitions([
            *(([name], [_text(f"Holds where {option.long} is not given.")])
              for name, option in variables.items() if not option.everywhere),
            (["PAYSYNC_HOME", "DATABASE_URL", "REDIS_URL"],
             [_text("Which books and which Redis. paysync(1) lists all variables.")]),
        ])),
        _see_also(["paysync(1)", "paysync.toml(5)", *_neighbours(command, tree)]),
    ])  # fmt: skip


def _synopses(command: Command) -> list[nodes.Node]:
    return [_line(_usage(one)) for one in command.members or (command,)]


def _usage(command: Command) -> list[str]:
    words = [f"paysync {command.name}", "[OPTIONS]"] if command.options else [f"paysync {command.name}"]
    return [*words, *(argument.spelled for argument in command.arguments)]


def _default(command: Command) -> list[nodes.Node]:
    if command.default is None:
        return []
    return _paragraphs(f"Without a further word it is `paysync {command.name} {command.default}`.")


def _member(command: Command) -> Iterator[nodes.Node]:
    yield _definitions([([f"paysync {command.name}"], _paragraphs(command.help))])


def _own_options(command: Command, *, titled: bool) -> list[nodes.Node]:
    own = [option for option in command.options if not option.everywhere]
    if not own and not command.arguments:
        return []
    title = [_title(f"paysync {command.name}")] if titled else []
    return [*title, *_arguments(command.arguments), *([_options(own)] if own else [])]


def _arguments(arguments: Sequence[Argument]) -> list[nodes.Node]:
    if not arguments:
        return []
    return [_definitions([([_emphasis(one.metavar)], [_text(one.help)]) for one in arguments])]


def _shared_options(tree: Command) -> list[nodes.Node]:
    flags = ", ".join(option.long for option in tree.options if option.everywhere)
    return _paragraphs(f"And those of every command, which paysync(1) explains: {flags}.")


def _exit_statuses(command: Command) -> list[nodes.Node]:
    special = [
        ([f"{status}" + (f" ({one.name})" if command.members else "")], [_text(about)])
        for one in command.walk()
        for status, about in OWN_EXITS.get(one.name, {}).items()
    ]
    rest = "Otherwise as" if special else "As"
    rest += " in paysync(1): 0 done, 1 unexpected error, 2 wrong use or settings, 4 not found, 5 refused, "
    rest += "69 Redis, database or bank unavailable, 124 own time-out, 130 and 143 cut short."
    return [*([_definitions(special)] if special else []), *_paragraphs(rest)]


def _neighbours(command: Command, tree: Command) -> list[str]:
    (beside,) = [members for _title, members in tree.sections if command in members]
    return [f"paysync-{one.name}(1)" for one in beside if one is not command]


# -- paysync.toml(5)


def _settings_page() -> str:
    order = "An option of the command line, the environment, .env in the working directory, paysync.toml there, the "
    order += "user's, /etc/paysync/paysync.toml, the default: the first that says something counts. `paysync config "
    order += "show` tells which did, `paysync config check` what is wrong, `paysync config init` writes a commented "
    order += "file."
    names = "A key is the variable's name without PAYSYNC_, in small letters. Spans of time are written 500ms, 2s, 5m, "
    names += "1h, 7d. A secret may stand in a file of its own: KEY_file, or the variable with _FILE at its end, names "
    names += "it. An unknown key is told, not passed over."
    banks = "Each bank is a block [banks.NAME]; NAME is small letters and digits. Every key is also a variable, "
    banks += "PAYSYNC_BANK_NAME_KEY. Keys that are not listed here go to the bank's adapter: username, password, "
    banks += "aes_key, client_id, client_secret and the like."
    return _write("paysync.toml", 5, "settings of paysync", [
        _section("SYNOPSIS", _line(["./paysync.toml"]), _line(["~/.config/paysync/paysync.toml"]),
                 _line(["/etc/paysync/paysync.toml"])),
        _section("DESCRIPTION", *_paragraphs(f"A file in TOML.\n\n{order}\n\n{names}")),
        _section("SETTINGS", _definitions([
            ([key.name], [_text(_about(key)), _text(f"Variable: {', '.join(key.variables)}.")]) for key in KEYS])),
        _section("BANKS", *_paragraphs(banks), _definitions([([key.name], [_text(_about(key))]) for key in BANK_KEYS])),
        _section("EXAMPLES", nodes.literal_block("", SAMPLE.rstrip())),
        _files(),
        _section("ENVIRONMENT", *_paragraphs("The variables are named above. PAYSYNC_REDIS_URL wins over REDIS_URL, "
                                             "PAYSYNC_DATABASE_URL over DATABASE_URL. An empty variable is none.")),
        _see_also(["paysync(1)", "paysync-config(1)", "paysync-bank(1)"]),
    ])  # fmt: skip


def _about(key: Key) -> str:
    return f"{key.about} Default: {key.default}." if key.default else key.about


# -- the parts of a page


def _write(name: str, section: int, gist: str, sections: Iterable[nodes.Node]) -> str:
    document = new_document(name)
    document.settings.record_dependencies = None
    document += nodes.title("", name)
    document += nodes.subtitle("", gist.rstrip("."))
    facts = {"manual_section": str(section), "manual_group": "paysync", "version": f"paysync {__version__}"}
    about = nodes.docinfo()
    for field, value in facts.items():
        body = nodes.field_body("", nodes.paragraph("", value))
        about += nodes.field("", nodes.field_name("", field.replace("_", " ")), body)
    document += about
    document += list(sections)
    text = publish_from_doctree(document, writer="manpage", settings_overrides={"output_encoding": "unicode"})
    return _cleaned(text)


def _cleaned(text: str) -> str:
    """Without remarks about the writer and its version, and with the capitals of the other headings."""
    lines = [line.rstrip() for line in text.splitlines() if not line.startswith('.\\"')]
    head = '.\\" Generated by `python -m docs.generate`: change the program, not this file.'
    whole = "\n".join((head, *lines)).replace("\n.SH Name\n", "\n.SH NAME\n").rstrip() + "\n"
    return re.sub(r"^(\.SH .*)\n\.sp$", r"\1", whole, flags=re.MULTILINE)


def _section(title: str, *content: nodes.Node) -> nodes.section:
    return nodes.section("", nodes.title("", title), *content, ids=[title.lower()])


def _title(text: str) -> nodes.paragraph:
    return nodes.paragraph("", "", nodes.strong("", text))


def _paragraphs(text: str) -> list[nodes.Node]:
    return [_text(part) for part in text.split("\n\n")]


def _text(text: str) -> nodes.paragraph:
    """A paragraph; what stands in backticks is a thing to type."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    children = [nodes.strong("", part) if at % 2 else nodes.Text(part) for at, part in enumerate(parts) if part]
    return nodes.paragraph("", "", *children)


def _line(words: Sequence[str]) -> nodes.paragraph:
    first, *more = words
    children: list[nodes.Node] = [nodes.strong("", first)]
    for word in more:
        children += [nodes.Text(" "), nodes.emphasis("", word)]
    return nodes.paragraph("", "", *children)


def _emphasis(text: str) -> nodes.emphasis:
    return nodes.emphasis("", text)


def _definitions(
    items: Iterable[tuple[Sequence[str | nodes.Node], Sequence[nodes.Node]]],
) -> nodes.definition_list:
    made = nodes.definition_list()
    for names, content in items:
        term = nodes.term()
        for at, name in enumerate(names):
            if at:
                term += nodes.Text(", ")
            term += nodes.Text(name) if isinstance(name, str) else name
        made += nodes.definition_list_item("", term, nodes.definition("", *content))
    return made


def _options(options: Sequence[Option]) -> nodes.definition_list:
    made = nodes.definition_list()
    for option in options:
        term = nodes.term("", ", ".join(option.flags))
        about = option.help
        if option.metavar is not None:
            brief = not option.words or len(option.metavar) <= _WIDEST_CHOICE
            term += [nodes.Text(" "), _emphasis(option.metavar if brief else "WORD")]
            if not brief:
                about = f"{about} One of: {', '.join(option.words)}."
        remarks = "; ".join((*option.remarks, *option.variables))
        text = f"{about} [{remarks}]" if remarks else about
        made += nodes.definition_list_item("", term, nodes.definition("", _text(text)))
    return made


def _examples(examples: Sequence[tuple[str, str]]) -> Iterator[nodes.Node]:
    for line, remark in examples:
        if remark:
            yield _text(f"{remark[0].upper()}{remark[1:]}" + ("" if remark.endswith(("?", ".", ":")) else ":"))
        yield nodes.literal_block("", _folded(line))


def _folded(line: str, width: int = 66) -> str:
    """A command line that a terminal of 80 columns can show, broken where the shell joins it again."""
    lines = [line]
    while len(lines[-1]) > width and (at := _break(lines[-1], width)):
        lines[-1:] = [f"{lines[-1][:at]} \\", f"    {lines[-1][at + 1 :]}"]
    return "\n".join(lines)


def _break(line: str, width: int) -> int:
    """The last space before `width` that is in no quotes and no indent; one before an option when there is any."""
    spaces = [
        at for at in range(8, width) if line[at] == " " and not (line[:at].count("'") % 2 or line[:at].count('"') % 2)
    ]
    options = [at for at in spaces if line.startswith("--", at + 1)]
    return max(options or spaces, default=0)


def _files() -> nodes.section:
    return _section("FILES", _definitions([([name], [_text(about)]) for name, about in _FILES]))


def _see_also(pages: Sequence[str]) -> nodes.section:
    children: list[nodes.Node] = []
    for at, page in enumerate(pages):
        name, bracket, section = page.partition("(")
        children += [nodes.Text(", ")] if at else []
        children += [nodes.strong("", name), nodes.Text(bracket + section)]
    return _section("SEE ALSO", nodes.paragraph("", "", *children))


def _page(command: Command) -> str:
    return f"paysync {command.name}"
