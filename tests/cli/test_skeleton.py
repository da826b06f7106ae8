"""What every command has from the skeleton, seen from outside: real processes, pipes and terminals."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.probe_commands import HOSTILE, LONG_ID
from tests.process import TIMEOUT_S, Ended, clean_environment, run_on_terminal, run_paysync, start_paysync

PROBE = (sys.executable, str(Path(__file__).with_name("probe.py")))
ESCAPE = "\x1b"

# What may surround a script: nothing of it may change a byte of the JSON document.
SURROUNDINGS = [
    {},
    {"COLUMNS": "20"},
    {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TERM": "xterm-256color"},
    {"COLUMNS": "20", "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
]


@pytest.fixture
def probe(tmp_path: Path):
    def run(*args: str, env: dict[str, str] | None = None, stdin: str | None = None) -> Ended:
        return run_paysync(*args, env=env, cwd=tmp_path, stdin=stdin, program=PROBE)

    return run


@pytest.fixture
def terminal(tmp_path: Path):
    def run(*args: str, env: dict[str, str] | None = None, typed: str = "", columns: int = 120) -> Ended:
        return run_on_terminal(*args, env=env, cwd=tmp_path, typed=typed, columns=columns, program=PROBE)

    return run


def document(ended: Ended) -> dict[str, object]:
    """The one document on standard output, its envelope checked."""
    parsed = json.loads(ended.out)
    assert ended.out.isascii()
    assert list(parsed) == ["schema", "command", "status", "data", "errors"]
    assert parsed["schema"] == 1
    assert parsed["status"] in ("ok", "partial", "error")
    for error in parsed["errors"]:
        assert list(error) == ["code", "message", "hint"]
    return parsed


# -- the JSON document


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
@pytest.mark.parametrize(
    ("args", "status", "word"),
    [
        (("probe", "list", "--count", "0"), 0, "ok"),
        (("probe", "list"), 0, "ok"),
        (("probe", "list", "--count", "40"), 0, "ok"),
        (("probe", "partly"), 3, "partial"),
        (("probe", "down"), 69, "partial"),
        (("probe", "missing"), 4, "error"),
        (("probe", "crash"), 1, "error"),
        (("probe", "change"), 5, "error"),
    ],
)
def test_json_is_one_document_whatever_surrounds_it(
    probe, surroundings: dict[str, str], args: tuple[str, ...], status: int, word: str
) -> None:
    ended = probe(*args, "--json", env=surroundings)
    assert ended.status == status
    parsed = document(ended)
    assert (parsed["command"], parsed["status"]) == (" ".join(args[:2]), word)


def test_json_on_a_terminal_is_the_same_document(probe, terminal) -> None:
    on_pipe, on_terminal = probe("probe", "list", "--json", "-q"), terminal("probe", "list", "--json", "-q", columns=20)
    assert on_terminal.out == on_pipe.out


def test_json_carries_foreign_text_whole(probe) -> None:
    [item] = document(probe("probe", "list", "--json"))["data"]["items"]
    assert item == {"qr_id": LONG_ID, "payer": HOSTILE, "amount": "-100.50", "at": "2026-01-02T03:04:05+00:00"}


@pytest.mark.parametrize(
    "args",
    [
        ("nonsense",),
        ("--nonsense",),
        ("probe", "nonsense"),
        ("probe", "list", "--nonsense"),
        ("probe", "list", "extra"),
        ("probe", "list", "--count"),
        ("probe", "list", "--count", "x"),
        ("probe", "list", "--count", "-1"),
        ("probe", "list", "--csv"),
        ("probe", "need"),
        ("probe", "echo", "--level", "x"),
        ("probe", "echo", "--share", "x"),
        ("probe", "echo", "--timeout", "soon"),
        ("probe", "echo", "--timeout", "0"),
        ("probe", "echo", "--tz", "Mars"),
        ("probe", "list", "--quiet=yes"),
        (),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_wrong_use_is_a_document_too(probe, args: tuple[str, ...], first: bool) -> None:
    ended = probe(*(("--json", *args) if first else (*args, "--json")))
    assert ended.status == 2
    parsed = document(ended)
    assert (parsed["status"], parsed["data"], parsed["errors"][0]["code"]) == ("error", None, "usage")


def test_errors_of_a_report_stand_in_its_document(probe) -> None:
    parsed = document(probe("probe", "partly", "--json"))
    assert [e["code"] for e in parsed["errors"]] == ["redis_unavailable", "other"]
    assert len(parsed["data"]["items"]) == 1


def test_a_failure_after_the_document_adds_no_second_one(probe) -> None:
    for args in (("probe", "late"), ("probe", "twice")):
        ended = probe(*args, "--json")
        assert ended.status == 1
        document(ended)
        assert "Unexpected error" in ended.err


def test_json_as_an_options_value_is_no_request(probe) -> None:
    ended = probe("probe", "echo", "--reason", "--json", "--level", "high")
    assert ended.status == 0
    assert not ended.out.startswith("{")
    assert "--json" in ended.out


# -- rows


def test_json_lines(probe) -> None:
    ended = probe("probe", "list", "--count", "3", "--jsonl")
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [row["payer"] for row in rows] == [HOSTILE] * 3
    assert probe("probe", "list", "--count", "0", "--jsonl").out == ""


def test_csv(probe) -> None:
    lines = probe("probe", "list", "--count", "2", "--csv").out.splitlines()
    assert lines[0] == "qr_id,payer,amount,at"
    assert len(lines) == 3
    assert lines[1].startswith(f"{LONG_ID},")
    assert lines[1].endswith(",-100.50,2026-01-02T03:04:05+00:00")
    assert ESCAPE not in lines[1]


def test_one_form_at_a_time_and_only_for_lists(probe) -> None:
    assert probe("probe", "list", "--csv", "--jsonl").status == 2
    assert probe("probe", "echo", "--csv").status == 2


# -- global options, before and after


@pytest.mark.parametrize(
    ("option", "name", "value"),
    [
        (("-q",), "quiet", True),
        (("--quiet",), "quiet", True),
        (("-v",), "verbose", True),
        (("--verbose",), "verbose", True),
        (("--no-color",), "no_color", True),
        (("--no-input",), "no_input", True),
        (("--debug",), "debug", True),
        (("--timeout", "5m"), "timeout_s", 300),
        (("--timeout=30",), "timeout_s", 30),
        (("--tz", "America/La_Paz"), "tz", "America/La_Paz"),
        (("--config", "some.toml"), "config", "some.toml"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_global_options_before_between_and_after(
    probe, option: tuple[str, ...], name: str, value: object, place: int
) -> None:
    args = ["probe", "echo", "word"]
    args[place:place] = option
    for whole in ((*args, "--json"), ("--json", *args)):
        ended = probe(*whole)
        assert ended.status == 0, ended.err
        data = document(ended)["data"]
        assert data[name] == value
        assert data["words"] == ["word"]


def test_short_options_may_be_joined(probe) -> None:
    data = document(probe("probe", "echo", "-qv", "--json"))["data"]
    assert (data["quiet"], data["verbose"]) == (True, True)


def test_the_later_place_wins(probe) -> None:
    assert document(probe("--tz", "UTC", "probe", "echo", "--tz", "Asia/Tokyo", "--json"))["data"]["tz"] == "Asia/Tokyo"


def test_a_double_dash_ends_the_options(probe) -> None:
    ended = probe("probe", "echo", "--json", "--", "-q", "--json", "--csv")
    data = document(ended)["data"]
    assert (data["words"], data["quiet"]) == (["-q", "--json", "--csv"], False)
    assert not probe("probe", "echo", "--", "--json").out.startswith("{")


def test_json_behind_a_double_dash_is_no_request_either(probe) -> None:
    ended = probe("probe", "echo", "--nonsense", "--", "--json")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error: There is no option --nonsense.")


def test_values_arrive_in_their_types(probe) -> None:
    args = ("--share", "2.5", "--level", "high", "--folder", "/x", "--tag", "a", "--tag", "b")
    data = document(probe("probe", "echo", *args, "--json"))["data"]
    assert (data["share"], data["level"], data["folder"], data["tag"]) == (2.5, "high", "/x", ["a", "b"])
    assert document(probe("probe", "echo", "--json"))["data"]["words"] is None


def test_quiet_and_verbose_talk(probe) -> None:
    assert probe("probe", "list").err == "talk\n"
    assert probe("probe", "list", "-q").err == ""
    assert probe("probe", "list", "-v").err == "talk\ndetail\n"
    assert "error:" in probe("-q", "probe", "missing").err


# -- people off a terminal


@pytest.mark.parametrize("surroundings", SURROUNDINGS[:4])
def test_off_a_terminal_lines_are_plain_and_whole(probe, surroundings: dict[str, str]) -> None:
    ended = probe("probe", "list", "--tz", "America/La_Paz", env=surroundings)
    assert ended.status == 0
    assert ESCAPE not in ended.out
    assert not set(ended.out) & set("│┃─━╭╮…")
    row = ended.out.splitlines()[-1]
    assert row.startswith(LONG_ID)
    assert "[red]Ana[/red] \\x1b[2J" in row
    assert "2026-01-01T23:04:05-04:00" in row


def test_the_zone_comes_from_the_option_else_the_setting(probe) -> None:
    ended = probe("config", "show", env={"PAYSYNC_TZ": "Asia/Tokyo"})
    assert re.search(r"tz +Asia/Tokyo", ended.out)


# -- people on a terminal


def test_on_a_terminal_there_are_tables_colour_and_relative_times(terminal) -> None:
    ended = terminal("probe", "list", "--tz", "UTC", columns=250)
    assert ended.status == 0
    assert ESCAPE in ended.out
    assert "2026-01-02 03:04:05 (" in ended.out
    assert LONG_ID in ended.out
    assert f"{ESCAPE}[2J" not in ended.out
    assert f"{ESCAPE}]0;" not in ended.out


@pytest.mark.parametrize(("args", "env"), [(("--no-color",), {}), ((), {"NO_COLOR": "1"}), ((), {"TERM": "dumb"})])
def test_colour_can_be_switched_off(terminal, args: tuple[str, ...], env: dict[str, str]) -> None:
    ended = terminal("probe", "partly", *args, env=env, columns=250)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", ended.out)
    assert ended.status == 3


def test_an_empty_no_color_switches_nothing_off(terminal) -> None:
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m", terminal("probe", "missing", env={"NO_COLOR": ""}).out)


def test_force_color_colours_nothing_off_a_terminal(probe) -> None:
    ended = probe("probe", "partly", env={"FORCE_COLOR": "1"})
    assert ESCAPE not in ended.out + ended.err


def test_progress_is_for_terminals(probe, terminal) -> None:
    assert "Working" in terminal("probe", "bar").out
    assert "Working" not in terminal("probe", "bar", "-q").out
    assert probe("probe", "bar").err == ""


# -- errors


def test_an_error_is_a_sentence_and_a_hint(probe) -> None:
    ended = probe("probe", "missing")
    assert (ended.status, ended.out) == (4, "")
    first, second = ended.err.splitlines()
    assert first.startswith("error: No QR [red]Ana[/red] \\x1b[2J")
    assert second == "  Look with `paysync find`."


def test_several_faults_follow_their_heading(probe) -> None:
    assert probe("probe", "partly").err.splitlines() == [
        "error: Two failed.",
        "  First is wrong.",
        "    Do this.",
        "  Second is wrong.",
    ]


@pytest.mark.parametrize("command", ["crash", "missing"])
@pytest.mark.parametrize("json_too", [True, False])
def test_a_traceback_only_with_debug(probe, command: str, json_too: bool) -> None:
    more = ("--json",) if json_too else ()
    assert "Traceback" not in probe("probe", command, *more).err
    ended = probe("--debug", "probe", command, *more)
    assert "Traceback" in ended.err
    assert "probe_commands.py" in ended.err
    assert "Traceback" not in ended.out


CANARY = "canary-1f9e7-0c42"


@pytest.mark.parametrize("more", [(), ("--debug",), ("--json",), ("--json", "--debug"), ("-v",)])
def test_no_secret_in_an_unexpected_error(probe, more: tuple[str, ...]) -> None:
    env = {"REDIS_URL": f"redis://user:{CANARY}@host", "PAYSYNC_SERVE_TOKEN": CANARY}
    ended = probe("probe", "crash", *more, env=env)
    assert ended.status == 1
    assert CANARY not in ended.out + ended.err
    assert "RuntimeError" in ended.out + ended.err


def test_wrong_settings_are_told_at_once(probe) -> None:
    env = {"REDIS_URL": f"redis://:{CANARY}@x@host", "PAYSYNC_ATTEMPTS": "x"}
    ended = probe("probe", "crash", env=env)
    assert ended.status == 2
    assert ended.err.startswith("error: 2 settings are wrong.\n  REDIS_URL in the environment (redis://:***@host): ")
    assert CANARY not in ended.err
    codes = [e["code"] for e in document(probe("probe", "crash", "--json", env=env))["errors"]]
    assert codes == ["invalid_setting", "invalid_setting"]


def test_close_names_are_suggested(probe) -> None:
    assert "Did you mean `paysync config`?" in probe("confg").err
    assert "Did you mean `paysync config show`?" in probe("config", "shw").err
    assert "Did you mean --count?" in probe("probe", "list", "--cuont", "3").err


# -- confirmation


def test_without_a_terminal_a_change_needs_yes(probe) -> None:
    ended = probe("probe", "change", stdin="y\n")
    assert (ended.status, ended.out) == (5, "")
    assert "Remove 3 jobs?" in ended.err
    assert "--yes" in ended.err
    assert probe("probe", "change", "--yes").status == 0


@pytest.mark.parametrize(("typed", "status"), [("y\n", 0), ("YES\n", 0), ("n\n", 5), ("\n", 5), ("\x04", 5)])
def test_on_a_terminal_a_person_is_asked(terminal, typed: str, status: int) -> None:
    ended = terminal("probe", "change", typed=typed)
    assert "Remove 3 jobs? [y/N]" in ended.out
    assert ended.status == status
    assert bool(re.search(r"changed\b.*3", ended.out)) == (status == 0)


def test_no_input_never_asks(terminal) -> None:
    ended = terminal("probe", "change", "--no-input", typed="y\n")
    assert ended.status == 5
    assert "[y/N]" not in ended.out


def test_read_only_refuses_every_change(probe) -> None:
    ended = probe("probe", "change", "--yes", env={"PAYSYNC_READ_ONLY": "1"})
    assert ended.status == 5
    assert "PAYSYNC_READ_ONLY" in ended.err
    assert probe("probe", "list", env={"PAYSYNC_READ_ONLY": "1"}).status == 0


# -- banks and settings of a command


def test_a_commands_own_option_wins_over_the_settings(probe) -> None:
    env = {"PAYSYNC_BANK_SIM_BASE_URL": "https://sim.example", "PAYSYNC_CONCURRENCY": "3"}
    data = document(probe("probe", "bank", "--json", env=env))["data"]
    assert data == {"bank": "sim", "concurrency": 7}
    assert probe("probe", "bank", "--bank", "other", env=env).status == 2
    assert document(probe("probe", "bank", "--json"))["errors"][0]["code"] == "no_bank"


def test_unknown_variables_are_told_on_a_terminal_or_when_asked(probe, terminal) -> None:
    env = {"PAYSYNC_REDONLY": "1"}
    assert probe("config", "show", env=env).err == ""
    assert "did you mean PAYSYNC_READ_ONLY?" in probe("config", "show", "-v", env=env).err
    assert "did you mean PAYSYNC_READ_ONLY?" in terminal("config", "show", env=env, columns=200).out.replace("\n", "")


# -- the runtime


def test_the_runtime_is_opened_once_when_asked_and_always_closed(probe) -> None:
    assert probe("probe", "read", "show").err == "opened 5 create=False\nclosed\n"
    assert probe("probe", "make", "show").err == "opened 5 create=True\nclosed\n"
    assert probe("probe", "read", "fail").err == "opened 5 create=False\nclosed\nerror: Gone.\n"
    timed_out = probe("probe", "read", "wait", "--timeout", "200ms")
    assert timed_out.err.startswith("opened 5 create=False\nclosed\nerror: ")
    assert "opened" not in probe("probe", "list").err


# -- the end of a command


@pytest.mark.parametrize("how", ["sleep", "socket", "clumsy"])
@pytest.mark.parametrize("first", [True, False])
def test_the_own_time_out(probe, how: str, first: bool) -> None:
    timeout = ("--timeout", "200ms")
    args = ("probe", "sleep", "--how", how)
    ended = probe(*((*timeout, *args) if first else (*args, *timeout)))
    assert ended.status == 124
    assert ended.err.splitlines()[:2] == ["sleeping", "cleaned up"]
    assert "not done after 0.2 s" in ended.err


def test_the_time_out_as_a_document(probe) -> None:
    ended = probe("probe", "sleep", "--timeout", "200ms", "--json")
    assert ended.status == 124
    assert document(ended)["errors"][0]["code"] == "timed_out"


@pytest.mark.slow
def test_the_time_out_ends_what_cannot_be_interrupted(probe) -> None:
    ended = probe("probe", "sleep", "--how", "stuck", "--timeout", "200ms", "--json")
    assert ended.status == 124
    assert document(ended)["errors"][0]["code"] == "timed_out"


@pytest.mark.parametrize(
    ("number", "status", "code"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("how", ["sleep", "clumsy"])
@pytest.mark.parametrize("json_too", [True, False])
def test_signals_end_a_command_through_its_clean_up(
    tmp_path: Path, number: int, status: int, code: str, how: str, json_too: bool
) -> None:
    more = ("--how", how, "--json") if json_too else ("--how", how)
    child = start_paysync("probe", "sleep", *more, cwd=tmp_path, program=PROBE)
    assert child.stderr is not None
    assert child.stderr.readline() == "sleeping\n"
    child.send_signal(number)
    out, err = child.communicate(timeout=TIMEOUT_S)
    assert child.returncode == status
    assert err.startswith("cleaned up\n")
    assert "Traceback" not in err
    if json_too:
        assert document(Ended(status, out, err))["errors"][0]["code"] == code
    else:
        assert out == ""


@pytest.mark.parametrize("form", ["--csv", "--jsonl", "--json", "-q"])
def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path, form: str) -> None:
    child = start_paysync("probe", "list", "--count", "50000", "-q", form, cwd=tmp_path, program=PROBE)
    assert child.stdout is not None
    child.stdout.read(10)
    child.stdout.close()
    child.stdout = None
    _out, err = child.communicate(timeout=TIMEOUT_S)
    assert (child.returncode, err) == (0, "")


def test_a_reader_that_leaves_changes_no_status(tmp_path: Path) -> None:
    child = start_paysync("probe", "partly", cwd=tmp_path, program=PROBE)
    assert child.stdout is not None
    child.stdout.close()
    child.stdout = None
    _out, err = child.communicate(timeout=TIMEOUT_S)
    assert child.returncode == 3
    assert "Two failed." in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    ("args", "status"),
    [
        (("probe", "list"), 1),
        (("probe", "list", "--json"), 1),
        (("probe", "list", "--csv", "--count", "5000"), 1),
        (("probe", "-h"), 1),
        (("--version",), 1),
        (("probe", "missing", "--json"), 4),
    ],
)
def test_a_full_disk_is_told(tmp_path: Path, args: tuple[str, ...], status: int) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROBE, *args],
            stdout=full,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=clean_environment(tmp_path),
            cwd=tmp_path,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode == status
    assert "The output could not be written: No space left on device." in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(("closed", "status"), [(">&-", 1), ("2>&-", 0), ("<&-", 0), (">&- 2>&-", 1)])
def test_closed_streams(tmp_path: Path, closed: str, status: int) -> None:
    command = " ".join([*PROBE, "probe", "list", closed])
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        capture_output=True,
        text=True,
        env=clean_environment(tmp_path),
        cwd=tmp_path,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert ("standard output is closed" in done.stderr) == (closed == ">&-")


def test_a_closed_descriptor_is_taken_by_nobody_else(tmp_path: Path) -> None:
    """Otherwise the next file opened, perhaps the database, would be number 1 and every print would land in it."""
    code = (
        "from paysync_cli.cli.streams import open_missing; open_missing();"
        "import os, sys; fd = os.open('/dev/null', os.O_RDONLY); sys.exit(0 if fd > 2 else 1)"
    )
    for closed in (">&-", "<&-", "2>&-", "<&- >&- 2>&-"):
        command = f'{sys.executable} -c "{code}" {closed}'
        done = subprocess.run(["/bin/sh", "-c", command], env=clean_environment(tmp_path), cwd=tmp_path, check=False)
        assert done.returncode == 0, closed


# -- the environment may be bare


def test_an_empty_environment_works(tmp_path: Path) -> None:
    for env in ({}, {"HOME": "/nonexistent"}):
        done = subprocess.run(
            [sys.executable, "-m", "paysync_cli", "config", "show", "--json"],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["status"] == "ok"


def test_a_deleted_working_folder_works(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"cd {gone} && rmdir {gone} && {sys.executable} -m paysync_cli config check"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        capture_output=True,
        text=True,
        env=clean_environment(tmp_path),
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


# -- help, version, the console script


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("args", [(), ("probe",), ("probe", "list"), ("config", "show")])
def test_help_everywhere(probe, option: str, args: tuple[str, ...]) -> None:
    ended = probe(*args, option)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("Usage: paysync")
    for word in ("--json", "--quiet", "--no-input", "--timeout", "--config", "--debug", "--tz", "-h, --help"):
        assert word in ended.out


@pytest.mark.parametrize("args", [(), ("probe", "list"), ("config", "show")])
def test_examples_stand_first(probe, args: tuple[str, ...]) -> None:
    out = probe(*args, "-h").out
    assert out.index("Examples:") < out.index("Options:") < out.index("Everywhere:")
    assert out.splitlines()[2] == "Examples:"


def test_help_needs_no_settings_and_wins_over_other_mistakes(probe) -> None:
    assert probe("probe", "need", "-h", env={"REDIS_URL": "nonsense"}).status == 0
    assert probe("probe", "need", "--tz", "Mars", "-h").status == 0


def test_bare_names(probe) -> None:
    bare = probe()
    assert bare.status == 0
    assert bare.out == probe("--help").out
    assert probe("config").out == probe("config", "--help").out
    assert probe("probe").out == probe("probe", "list").out


def test_help_is_grouped_and_lists_only_commands_that_are_there(probe) -> None:
    out = probe("-h").out
    assert re.search(r"^Start here:\n(  .*\n)*  config ", out, re.MULTILINE)


def test_version(probe) -> None:
    from importlib.metadata import version

    from paysync_cli.version import __version__

    lines = probe("--version").out.splitlines()
    assert lines[0] == f"paysync {__version__}"
    assert platform.python_version() in lines[1]
    assert f"rq {version('rq')}, redis {version('redis')}" in lines[2]
    data = document(probe("--version", "--json"))["data"]
    assert data["version"] == __version__
    assert data["packages"]["sqlalchemy"] == version("sqlalchemy")
    assert document(probe("--json", "--version"))["data"] == data


def test_the_console_script_and_the_module_are_the_same(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("paysync")
    if not script.exists():
        pytest.skip("not installed")
    by_script = run_paysync("--help", cwd=tmp_path, program=(str(script),))
    assert by_script == run_paysync("--help", cwd=tmp_path)


HEAVY = (
    "rq",
    "redis",
    "sqlalchemy",
    "alembic",
    "httpx",
    "aiohttp",
    "textual",
    "cryptography",
    "pydantic",
    "rich.console",
    "starlette",
    "uvicorn",
    "prometheus_client",
)


@pytest.mark.parametrize(
    "args", [("--help",), ("config", "show"), ("config", "show", "--json"), ("config", "-h"), ("serve", "-h")]
)
def test_nothing_heavy_is_loaded(tmp_path: Path, args: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "paysync_cli", *args],
        capture_output=True,
        text=True,
        env=clean_environment(tmp_path),
        cwd=tmp_path,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "typer" in loaded
    assert not loaded & set(HEAVY)


def test_every_command_file_is_in_the_list() -> None:
    """A file beside `main.py` that declares a command but stands in no section would be unreachable."""
    from paysync_cli.cli import commands

    folder = Path(commands.__file__).parent
    declaring = {p.stem for p in folder.glob("*.py") if re.search(r"^(@command|group)\(", p.read_text(), re.MULTILINE)}
    listed = {commands.module_of(n).rpartition(".")[2] for _title, names in commands.SECTIONS for n in names}
    assert declaring <= listed


def test_os_environment_is_clean_of_the_developers_settings() -> None:
    assert not [name for name in clean_environment(None) if name.startswith("PAYSYNC_")]
    assert os.environ.get("PATH") == clean_environment(None)["PATH"]
