"""The committed completion scripts in real interactive shells: what stands on the line after TAB, and what paysync is
given when the line is run.

A `paysync` of the test's own stands on PATH: it writes down what it is given, and asks the real one only for names.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.generate.tree import read_tree
from paysync_cli.cli.completion import FILES
from tests.books import add_qr, new_database
from tests.shells import REQUIRED, SHELLS, Shell, shell

SCRIPTS = Path(__file__).parents[2] / "completions"
BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")

PROGRAM = f"""#!/bin/sh
if [ "$1" = _complete ]; then
    echo asked >> asked
    [ -e canned ] && exec grep "^$3" canned
    exec '{sys.executable}' -m paysync_cli "$@"
fi
printf '%s\\n' "$@" > given
"""

# Each begins so that one TAB finds it. A shell that took one of them for its own would make a file, or lose a part.
HOSTILE = [
    "plain-1", "a:b=c@d", "$(touch${IFS}bad)", ";touch${IFS}bad", "|touch${IFS}bad",
    "&touch${IFS}bad", ">bad", "<bad", "'single", '"double', "back\\slash", "bang!!", "star*?", "[a-z]", "{a,b}",
    "~root", "#hash", "%d%s", "é€", "(sub)", "^caret", "$HOME", "end\\", "--dashes", "a\\tb", "=ls",
    "`touch${IFS}bad`",  # the last: behind a backtick on its line bash asks no completion any more
]  # fmt: skip
IDS = [f"H{n:02}{text}" for n, text in enumerate(HOSTILE)]


class Town:
    """One running shell, and what is around it."""

    def __init__(self, kind: str, folder: Path, running: Shell) -> None:
        self.kind, self.folder, self.shell = kind, folder, running

    def complete(self, line: str) -> str:
        return self.shell.complete(line)

    def given(self, *pieces: str) -> list[str]:
        """What the program gets when the line, completed after each piece, is run."""
        file = self.folder / "given"
        file.unlink(missing_ok=True)
        self.shell.run_completed(*pieces)
        return file.read_text().splitlines() if file.exists() else []

    @property
    def asked(self) -> bool:
        return (self.folder / "asked").exists()


def settle(folder: Path) -> dict[str, str]:
    """A home with hostile QRs, two banks, some files and the program; the environment for it."""
    home, programs = folder / "home", folder / "bin"
    for one in (home, programs, folder / "folder"):
        one.mkdir()
    store = new_database(home)
    for qr_id in [*IDS, "same-1", "same-2"]:
        add_qr(store, qr_id)
    store.close()
    (folder / "day 1.csv").touch()
    (folder / "other.csv").touch()
    (programs / "paysync").write_text(PROGRAM)
    (programs / "paysync").chmod(0o755)
    banks = {f"PAYSYNC_BANK_{name}_{key}": value for name in ("SIM", "SOL")
             for key, value in {"ADAPTER": "baneco", "BASE_URL": "http://127.0.0.1:9"}.items()}  # fmt: skip
    return {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", "PAYSYNC_HOME": str(home),
            "PYTHONPATH": str(SCRIPTS.parent), **banks}  # fmt: skip


@pytest.fixture(scope="module", params=SHELLS)
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    kind = request.param
    folder = tmp_path_factory.mktemp(kind)
    env = settle(folder)
    with shell(kind, folder, env, [f"source {SCRIPTS / FILES[kind]}"]) as running:
        yield Town(kind, folder, running)


STATIC = {
    "paysync sta": "paysync stats ",
    "paysync bank sh": "paysync bank show ",
    "paysync -q --tz UTC --config=x.toml bank sh": "paysync -q --tz UTC --config=x.toml bank show ",
    "paysync --tz bank sta": "paysync --tz bank stats ",
    "paysync list --status comp": "paysync list --status completed ",
    "paysync list --status=comp": "paysync list --status=completed ",
    "paysync cleanup --status --dry": "paysync cleanup --status --dry-run ",
    "paysync list --status comp --hel": "paysync list --status comp --hel",
    "paysync review resolve --as k": "paysync review resolve --as keep ",
    "paysync enqueue QR1 --priority h": "paysync enqueue QR1 --priority high ",
    "paysync completion f": "paysync completion fish ",
    "paysync import oth": "paysync import other.csv ",
    "paysync --config day": "paysync --config day\\ 1.csv ",
    "paysync --config=day": "paysync --config=day\\ 1.csv ",
    "paysync import 'day": "paysync import 'day 1.csv' ",
    "paysync list oth": "paysync list oth",
    "paysync find oth": "paysync find oth",
    "paysync enqueue --amount oth": "paysync enqueue --amount oth",
    "paysync nonsense --sta": "paysync nonsense --sta",
}


def test_what_is_static_starts_nothing(town: Town) -> None:
    assert {line: town.complete(line) for line in STATIC} == STATIC
    assert town.complete("paysync list --exh") == "paysync list --exhausted "
    assert town.complete("paysync -q list --sor").startswith("paysync -q list --sort")
    assert not town.asked


def test_every_command_is_offered(town: Town) -> None:
    """Each by all but its last letter, unless another one begins so."""
    groups = [one for one in read_tree().walk() if one.members]
    for group in groups:
        names = [member.path[-1] for member in group.members]
        for name in names:
            typed = " ".join(("paysync", *group.path, name[:-1]))
            if sum(one.startswith(name[:-1]) for one in names) == 1:
                assert town.complete(typed).rstrip() == f"{typed}{name[-1]}"


def test_names_are_asked_for(town: Town) -> None:
    lines = {
        "paysync list --bank so": "paysync list --bank sol ",
        "paysync list --bank=so": "paysync list --bank=sol ",
        "paysync bank show so": "paysync bank show sol ",
        "paysync pause so": "paysync pause sol ",
        "paysync show sam": "paysync show same-",
        "paysync audit --qr=same-2": "paysync audit --qr=same-2 ",
        "paysync show same-2 --bank=sol -": "paysync show same-2 --bank=sol -",
        "paysync show --bank=sol sam": "paysync show --bank=sol sam",
        "paysync hold same-1 -- same-2": "paysync hold same-1 -- same-2 ",
        "bin/paysync bank show so": "bin/paysync bank show sol ",
        "~/bin/paysync bank show so": "~/bin/paysync bank show sol ",
        "paysync show H99": "paysync show H99",
    }
    assert {line: town.complete(line) for line in lines} == lines


def test_hostile_ids_arrive_as_they_are(town: Town) -> None:
    """In every way to write a word, and as a part of one; here a file stands in for the database, to be quick."""
    canned = town.folder / "canned"
    canned.write_text("\n".join(IDS) + "\n")
    for quote in ("", "'", '"'):
        offered = IDS
        if town.kind == "bash" and quote == '"':  # nothing keeps an exclamation mark from bash there: not offered
            (bang,) = [one for one in IDS if "!" in one]
            offered = [one for one in IDS if one != bang]
            assert town.complete(f'paysync show "{bang[:3]}') == f'paysync show "{bang[:3]}'
        given = town.given("paysync hol", *(f"{quote}{one[:3]}" for one in offered))
        assert given == ["hold", *offered], (quote, town.shell.shown)
    for qr_id in IDS[:4]:
        assert town.given(f"paysync audit --qr={qr_id[:3]}") == ["audit", f"--qr={qr_id}"]
        assert town.given(f"paysync audit --qr='{qr_id[:3]}") == ["audit", f"--qr={qr_id}"]
    assert not (town.folder / "bad").exists()
    canned.unlink()


def test_a_program_of_another_name_is_not_run(town: Town) -> None:
    """The words of a line may name anything: only a paysync is asked, by its path where one is typed."""
    evil = town.folder / "bin" / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {town.folder}/bad\n")
    evil.chmod(0o755)
    if town.kind == "bash":
        town.shell.run("complete -F _paysync evil")
    elif town.kind == "zsh":
        town.shell.run("compdef _paysync evil")
    else:
        town.shell.run("complete -c evil -f -a '(__paysync_complete)'")
    assert town.complete("evil bank show so") == "evil bank show sol "
    assert not (town.folder / "bad").exists()


@pytest.mark.parametrize("kind", SHELLS)
def test_without_paysync_nothing_is_told(tmp_path: Path, kind: str) -> None:
    with shell(kind, tmp_path, {"PATH": "/usr/bin:/bin"}, [f"source {SCRIPTS / FILES[kind]}"]) as running:
        assert running.complete("paysync show Q") == "paysync show Q"
        assert set(running.shown.split()) <= {"@ready@paysync", "paysync", "@ready@", "show", "Q"}, running.shown


# -- the ways to install them


def test_bash_loads_it_when_it_is_needed(tmp_path: Path) -> None:
    """From where the wheel puts it, by the package bash-completion."""
    if not BASH_COMPLETION.exists() and not os.environ.get(REQUIRED):
        pytest.skip("no bash-completion here")
    env = settle(tmp_path)
    place = tmp_path / "share" / "bash-completion" / "completions"
    place.mkdir(parents=True)
    shutil.copy(SCRIPTS / "paysync.bash", place / "paysync")
    env |= {"XDG_DATA_HOME": str(tmp_path / "share")}
    with shell("bash", tmp_path, env, [f". {BASH_COMPLETION}"]) as running:
        assert running.complete("paysync show --bank=so") == "paysync show --bank=sol "
        assert running.complete("paysync show H01a:b=") == "paysync show H01a:b=c@d "
        assert running.complete("paysync list --status p", tabs=2) == "paysync list --status p"
        assert {"pending", "processing"} <= set(running.shown.split())


@pytest.mark.parametrize("kind", ["zsh", "fish"])
def test_zsh_and_fish_find_it_in_their_folders(tmp_path: Path, kind: str) -> None:
    env = settle(tmp_path)
    place = tmp_path / {"zsh": "functions", "fish": "share/fish/vendor_completions.d"}[kind]
    place.mkdir(parents=True)
    shutil.copy(SCRIPTS / FILES[kind], place / FILES[kind])
    env |= {"XDG_DATA_DIRS": f"{tmp_path / 'share'}:/usr/share"}
    setup = [f"fpath=({place} $fpath)", "compinit -u -D"] if kind == "zsh" else []
    with shell(kind, tmp_path, env, setup) as running:
        assert running.complete("paysync bank show so") == "paysync bank show sol "
        assert running.complete("paysync list --status=comp") == "paysync list --status=completed "
