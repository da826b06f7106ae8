"""`deploy/`: its files are read by the tools they are for, name real commands and real metrics, and agree.

`systemd-analyze` and `promtool` judge where they are installed; what needs neither is tested everywhere.
"""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from paysync_cli.services.metric_names import METRICS
from paysync_cli.settings import load_settings
from tests.command_lines import Line, fault_of, in_shell

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = DEPLOY / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
PROGRAM = "/opt/paysync/bin/paysync"
METRIC = re.compile(r"\bpaysync_[a-z0-9_]+")
SUFFIXES = ("_bucket", "_sum", "_count")
RULE_FILES = ("paysync.rules.yml", "paysync.alerts.yml")
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "paysync.json").read_text())


def faults(line: str) -> list[str]:
    found = list(in_shell(line))
    assert len(found) == 1, line
    return [fault for one in found if (fault := fault_of(one)) is not None]


# -- systemd


class _Repeated(dict[str, Any]):
    """systemd's keys come again; configparser's do not: each stands for all of its lines."""

    def __setitem__(self, key: str, value: Any) -> None:
        if isinstance(value, list) and key in self:
            value = [*self[key], *value]
        super().__setitem__(key, value)


def service(path: Path) -> dict[str, list[str]]:
    parser = configparser.RawConfigParser(strict=False, dict_type=_Repeated, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE)
    parser.read_string(text)
    return {key: value.split("\n") for key, value in parser.items("Service")}


def variables(unit: Mapping[str, list[str]]) -> dict[str, str]:
    pairs = [shlex.split(line)[0].partition("=") for line in unit["Environment"]]
    return {name: value for name, _equals, value in pairs}


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_what_a_unit_starts_is_a_command_of_ours(path: Path) -> None:
    unit = service(path)
    (started,) = unit["ExecStart"]
    assert started.startswith(PROGRAM + " ")
    line = re.sub(r"\$(\w+)", lambda found: variables(unit)[found[1]], started)
    assert faults(line) == []


def test_units_are_found() -> None:
    assert [path.stem for path in SERVICES] == [
        "paysync-cleanup", "paysync-reconcile", "paysync-serve", "paysync-worker",
    ]  # fmt: skip


def test_every_unit_has_the_same_walls() -> None:
    def walls(path: Path) -> str:
        return path.read_text().partition("# What it may touch")[2].partition("\n[Install]")[0].rstrip()

    assert len({walls(path) for path in SERVICES}) == 1
    assert "ProtectSystem=strict" in walls(SERVICES[0])


def test_exit_statuses_mean_to_systemd_what_they_mean_to_us() -> None:
    units = {path.stem.removeprefix("paysync-"): service(path) for path in SERVICES}
    assert {name: unit["SuccessExitStatus"] for name, unit in units.items()} == {
        "worker": ["143"], "serve": ["143"], "cleanup": ["75"], "reconcile": ["75"],
    }  # fmt: skip
    # Differences are for a person; a bank that is away (of several: 3) is asked again.
    for name, final in {"reconcile": "1 2 4 5 6", "cleanup": "1 2 3 4 5"}.items():
        assert units[name]["RestartPreventExitStatus"] == [final]
        assert units[name]["Restart"] == ["on-failure"]
    assert units["worker"]["Type"] == ["notify"]
    grace_s = load_settings(environ={"HOME": "/nowhere"}, cwd=Path("/"), read_files=False).shutdown_grace_s
    assert int(units["worker"]["TimeoutStopSec"][0]) >= 2 * grace_s


def test_credentials_are_settings_from_files(tmp_path: Path) -> None:
    """Each LoadCredential has its variable, and the settings read what lies there."""
    unit = service(UNITS / "paysync-.service.d" / "credentials.conf")
    loaded = [line.partition(":")[0] for line in unit["LoadCredential"]]
    named = {name: Path(value.replace("%d", str(tmp_path))) for name, value in variables(unit).items()}
    assert [path.name for path in named.values()] == loaded
    contents = {"redis_url": "redis://:hidden@r/3", "database_url": "postgresql://u:hidden@d/n"}
    for path in named.values():
        path.write_text(contents.get(path.name, f"secret of {path.name}"))
        path.chmod(0o400)
    environ = {name: str(path) for name, path in named.items()} | {"HOME": str(tmp_path)}
    environ["PAYSYNC_BANK_BANECO_BASE_URL"] = "https://bank.example"
    settings = load_settings(environ=environ, cwd=tmp_path)
    assert settings.redis_url == "redis://:hidden@r:6379/3"
    assert settings.database_url == "postgresql+psycopg://u:hidden@d/n"
    assert settings.banks["baneco"].options == {
        "password": "secret of baneco_password", "aes_key": "secret of baneco_aes_key",
    }  # fmt: skip


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units beside a program that is there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    for path in folder.glob("*.service"):
        path.write_text(path.read_text().replace(PROGRAM, shutil.which("true") or "/bin/true"))
    return folder


def analyze(*words: str, folder: Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def test_systemd_takes_every_unit(installed: Path) -> None:
    units = sorted(f"./{path.name}" for path in installed.glob("*.*") if path.suffix in (".service", ".timer"))
    assert len(units) == 6
    assert analyze("verify", "--man=no", *units, folder=installed) == ""


def test_systemd_finds_little_to_attack(installed: Path) -> None:
    for path in SERVICES:
        said = analyze("security", "--offline=true", "--threshold=20", f"./{path.name}", folder=installed)
        assert re.search(r"Overall exposure level for \S+: [01]\.\d OK", said), said[-300:]


# -- containers


COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yml").read_text())
OURS = {name: one for name, one in COMPOSE["services"].items() if one["image"] == "paysync:latest"}


def test_the_services_are_these() -> None:
    assert sorted(OURS) == ["serve", "upgrade", "worker"]
    assert sorted(set(COMPOSE["services"]) - set(OURS)) == ["grafana", "postgres", "prometheus", "redis"]


def test_containers_run_commands_of_ours() -> None:
    for one in OURS.values():
        assert fault_of(Line("", tuple(one["command"]), True)) is None
    probes = {name: one["healthcheck"].get("test") for name, one in OURS.items()}
    assert probes.pop("upgrade") is None
    for program, paysync, *probe in probes.values():
        assert (program, paysync, probe[0]) == ("CMD", "paysync", "health")
        assert fault_of(Line("", tuple(probe), True)) is None


def test_redis_keeps_everything() -> None:
    words = COMPOSE["services"]["redis"]["command"]
    assert words[words.index("--appendonly") + 1] == "yes"
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"


def test_what_compose_names_is_there() -> None:
    for name, one in COMPOSE["services"].items():
        assert set(one.get("secrets", ())) <= set(COMPOSE["secrets"])
        for other, how in one.get("depends_on", {}).items():
            needed = COMPOSE["services"][other]
            assert how["condition"] != "service_healthy" or "test" in needed["healthcheck"], name
            assert how["condition"] != "service_completed_successfully" or needed["restart"] == "no"
        for volume in one.get("volumes", ()):
            source = volume.partition(":")[0]
            if source == "./paysync.toml":
                continue  # the operator's
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_compose_settings_are_ours(tmp_path: Path) -> None:
    """Read as the container would read them, none is unknown and none is wrong."""
    environ = dict(OURS["worker"]["environment"]) | {"HOME": str(tmp_path)}
    for name in list(environ):
        if name.endswith("_FILE"):
            secret = tmp_path / Path(environ[name]).name
            assert secret.name in OURS["worker"]["secrets"]
            secret.write_text("postgresql://paysync:x@postgres/paysync" if "DATABASE" in name else "a-token-for-tests")
            secret.chmod(0o400)
            environ[name] = str(secret)
    settings = load_settings(environ=environ, cwd=tmp_path)
    assert settings.database_url.startswith("postgresql")
    assert list(settings.warnings) == []


def test_term_reaches_python_in_the_image() -> None:
    """No shell between the container and the program; nobody is root; the probe is ours."""
    lines = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text()).splitlines()
    final = lines[max(n for n, line in enumerate(lines) if line.startswith("FROM ")) :]
    said = {line.split()[0]: line.partition(" ")[2] for line in final if line and not line.startswith("#")}
    assert json.loads(said["ENTRYPOINT"]) == ["paysync"]
    assert fault_of(Line("", tuple(json.loads(said["CMD"])), True)) is None
    probe = json.loads(said["HEALTHCHECK"].partition("CMD ")[2])
    assert probe[:2] == ["paysync", "health"]
    assert fault_of(Line("", tuple(probe[1:]), True)) is None
    assert said["USER"].isdecimal()
    assert int(said["USER"]) > 0
    uid = f"uid={said['USER']},"
    assert any(uid in mount for mount in OURS["worker"]["tmpfs"])
    assert re.search(rf"--uid {said['USER']}\b", said["RUN"])


def test_the_image_is_built_from_what_is_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE) for word in line.split()]
    root = DEPLOY.parent
    assert [name for name in copied if not (root / name).exists()] == []
    let_in = re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert sorted(let_in) == sorted(copied)
    import tomllib

    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (wanted,) = re.findall(r"'\.\[(.*)\]'", text)
    assert set(wanted.split(",")) <= set(extras)


# -- Prometheus and Grafana


def rules() -> Iterator[dict[str, Any]]:
    for name in RULE_FILES:
        for group in yaml.safe_load((DEPLOY / "prometheus" / name).read_text())["groups"]:
            yield from group["rules"]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"] for rule in rules() if "record" in rule}


def expressions() -> list[str]:
    variables = [one["definition"] for one in DASHBOARD["templating"]["list"] if "definition" in one]
    targets = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    return [rule["expr"] for rule in rules()] + targets + variables


def without_suffix(name: str) -> str:
    return next((name.removesuffix(end) for end in SUFFIXES if name.endswith(end)), name)


def test_every_metric_is_one_that_we_tell() -> None:
    known = {one.name for one in METRICS}
    page = (DEPLOY.parent / "docs" / "metrics.md").read_text()
    labels = {"__rate_interval"} | {label.name for one in METRICS for label in one.labels}
    for text in expressions():
        recorded = re.findall(r"\w+:paysync_\w+:\w+", text)
        assert set(recorded) <= RECORDED, text
        names = {without_suffix(name) for name in METRIC.findall(re.sub(r"\w+:paysync_\w+:\w+", "", text))}
        assert names <= known, text
        assert all(f"`{name}`" in page for name in names)
        for matched in re.findall(r"\{([^}]*)\}", text):
            assert set(re.findall(r"(\w+) *(?:=~|!~|!=|=)", matched)) <= labels | {"job"}, text
        for grouped in re.findall(r"(?:by|on) \(([^)]*)\)", text):
            assert set(grouped.split(", ")) <= labels | {"le"}, text


def test_every_alert_names_the_command_to_run_first() -> None:
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        line = re.sub(r"\{\{ \$labels\.bank \}\}", "baneco", rule["annotations"]["run"])
        assert faults(line) == [], name
        assert rule["annotations"]["summary"]


def test_names_are_unique_and_everything_is_on_the_dashboard_once() -> None:
    names = [rule.get("alert", rule.get("record")) for rule in rules()]
    assert len(set(names)) == len(names) == 30
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _y in cells) < 24
        taken |= cells


def test_the_dashboard_takes_whichever_prometheus_there_is() -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    shown = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert all(panel["datasource"] == source for panel in shown)
    assert all(target["datasource"] == source for panel in shown for target in panel["targets"])
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert DASHBOARD["id"] is None
    provisioned = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/paysync.yml").read_text())
    mounts = COMPOSE["services"]["grafana"]["volumes"]
    assert f"./grafana/dashboards:{provisioned['providers'][0]['options']['path']}:ro" in mounts


def promtool(*words: str, folder: Path) -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool here")
    done = subprocess.run([found, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_configuration() -> None:
    assert "SUCCESS: 22 rules" in promtool("check", "config", "prometheus.yml", folder=DEPLOY / "prometheus")


def test_prometheus_takes_every_question_of_the_dashboard(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    asked = [text.replace("$__rate_interval", "1m").replace("$bank", ".*") for text in asked]
    made = [{"record": f"panel:{n}", "expr": text} for n, text in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": made}]}))
    assert f"SUCCESS: {len(asked)} rules" in promtool("check", "rules", "rules.yml", folder=tmp_path)


# What Prometheus sees while all is well, and what makes each alert fire. `T` is a Unix time, which grows.
WELL = {
    'up{job="paysync-worker",instance="w"}': "1x200",
    'paysync_build_info{instance="w"}': "1x200",
    "paysync_database_up": "1x200",
    "paysync_redis_up": "1x200",
    "paysync_redis_evicted_keys_total": "0x200",
    "paysync_redis_memory_bytes": "100x200",
    "paysync_redis_memory_limit_bytes": "1000x200",
    'paysync_commit_seconds_bucket{le="1"}': "0+10x200",
    'paysync_commit_seconds_bucket{le="10"}': "0+10x200",
    'paysync_commit_seconds_bucket{le="+Inf"}': "0+10x200",
    'paysync_workers{condition="alive"}': "2x200",
    'paysync_workers{condition="stale"}': "0x200",
    "paysync_leader_present": "1x200",
    'paysync_due_qrs{bank="b"}': "7x200",
    'paysync_oldest_due_age_seconds{bank="b"}': "3x200",
    "paysync_last_check_timestamp_seconds": "0+60x200",
    'paysync_bank_paused{bank="b"}': "0x200",
    'paysync_bank_credential_stopped{bank="b"}': "0x200",
    'paysync_bank_breaker{bank="b",state="open"}': "0x200",
    'paysync_jobs_given_up_total{bank="b"}': "3x200",
    'paysync_plan_qrs{bank="b",state="exhausted"}': "9x200",
    'paysync_bank_lists_payments{bank="b"}': "1x200",
    'paysync_bank_last_sweep_success_timestamp_seconds{bank="b"}': "0+60x200",
    "paysync_last_cleanup_timestamp_seconds": "0+60x200",
    'paysync_attempts_failed_total{bank="b",reason="unavailable"}': "0+1x200",
    'paysync_checks_total{bank="b",outcome="unpaid"}': "0+60x200",
    'paysync_throttled_total{bank="b"}': "1x200",
    'paysync_reviews_open{bank="b",reason="overpaid"}': "0x200",
    "paysync_alerts_oldest_undelivered_age_seconds": "0x200",
}
# Of a bank that nobody may ask: why is said once, not by everything that follows from it.
UNASKED = {
    'paysync_oldest_due_age_seconds{bank="b"}': "1000x200",
    "paysync_last_check_timestamp_seconds": "60x200",
    'paysync_bank_last_sweep_success_timestamp_seconds{bank="b"}': "60x200",
}
ILL: dict[str, dict[str, str]] = {
    "PaysyncNotScraped": {'up{job="paysync-worker",instance="w"}': "0x200"},
    "PaysyncDatabaseDown": {"paysync_database_up": "0x200"},
    "PaysyncRedisDown": {"paysync_redis_up": "0x200"},
    "PaysyncRedisEvicts": {"paysync_redis_evicted_keys_total": "0+1x200"},
    "PaysyncRedisMemoryHigh": {"paysync_redis_memory_bytes": "900x200"},
    "PaysyncCommitsSlow": {'paysync_commit_seconds_bucket{le="1"}': "0+1x200"},
    "PaysyncNoWorker": {'paysync_workers{condition="alive"}': "0x200"},
    "PaysyncWorkerStale": {'paysync_workers{condition="stale"}': "1x200"},
    "PaysyncNoLeader": {"paysync_leader_present": "0x200"},
    "PaysyncNothingConsumed": {
        "paysync_last_check_timestamp_seconds": "60x200",
        'paysync_oldest_due_age_seconds{bank="b"}': "0+60x200",
    },
    "PaysyncChecksLate": {'paysync_oldest_due_age_seconds{bank="b"}': "1000x200"},
    "PaysyncJobsGivenUp": {'paysync_jobs_given_up_total{bank="b"}': "0+1x200"},
    "PaysyncPlansExhausted": {'paysync_bank_lists_payments{bank="b"}': "0x200"},
    "PaysyncSweepMissing": {'paysync_bank_last_sweep_success_timestamp_seconds{bank="b"}': "60x200"},
    "PaysyncCredentialStopped": {'paysync_bank_credential_stopped{bank="b"}': "1x200", **UNASKED},
    "PaysyncBreakerOpen": {'paysync_bank_breaker{bank="b",state="open"}': "1x200", **UNASKED},
    "PaysyncAttemptsFail": {'paysync_attempts_failed_total{bank="b",reason="unavailable"}': "0+40x200"},
    "PaysyncBankThrottles": {'paysync_throttled_total{bank="b"}': "0+1x200"},
    "PaysyncReviewsOpen": {'paysync_reviews_open{bank="b",reason="overpaid"}': "1x200"},
    "PaysyncAlertsUndelivered": {"paysync_alerts_oldest_undelivered_age_seconds": "0+60x200"},
}
ALSO = {"PaysyncNothingConsumed": ("PaysyncChecksLate",)}
# Those that take longer than the three hours of the others.
SLOW = {
    "PaysyncBankPaused": ({'paysync_bank_paused{bank="b"}': "1x400"}, "6h"),
    "PaysyncCleanupMissing": ({"paysync_last_cleanup_timestamp_seconds": "60x1800"}, "28h"),
}
NEVER_CLEANED = {"paysync_last_cleanup_timestamp_seconds": "0x1800"}


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    assert set(ILL) | set(SLOW) == set(ALERTS)
    cases = [judged("all is well", WELL, "2h30m", {})]
    cases += [judged(name, WELL | ill, "2h30m", {name, *ALSO.get(name, ())}) for name, ill in ILL.items()]
    cases += [judged(name, ill, at, {name}) for name, (ill, at) in SLOW.items()]
    cases += [
        judged("PaysyncCleanupMissing", NEVER_CLEANED, "28h", {"PaysyncCleanupMissing"}),
        judged("PaysyncCleanupMissing", NEVER_CLEANED, "20h", {}),  # a new installation
    ]
    for name in RULE_FILES:
        shutil.copy(DEPLOY / "prometheus" / name, tmp_path)
    tests = {"rule_files": list(RULE_FILES), "evaluation_interval": "5m", "tests": cases}
    (tmp_path / "tests.yml").write_text(json.dumps(tests))
    promtool("test", "rules", "tests.yml", folder=tmp_path)


def judged(name: str, series: Mapping[str, str], at: str, firing: Any) -> dict[str, Any]:
    """A case for promtool: of all alerts those in `firing` fire, each once. Asked by their number, which needs no
    labels or texts to be repeated here."""
    looked_at = [name] if name in SLOW else sorted(ALERTS.keys() - SLOW.keys())
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                "eval_time": at,
                "exp_samples": [{"labels": "{}", "value": 1}] if alert in firing else [],
            }
            for alert in looked_at
        ],
    }
