"""`import advisor`: the same answers, texts and files as the command, and nothing at the start."""

from __future__ import annotations

import copy
import importlib
import os
import pickle
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import advisor
from advisor.report.contract import to_json
from tests.cli.program import DEMO, advise
from tests.cli.sick_runs import ARGUMENTS, AUTOMODEL, automodel, changed, trainer

NAMES = (
    "check", "diagnose", "Monitor", "Run", "Report", "Finding", "Edit", "Plan", "__version__",
)  # fmt: skip
DEMOS = sorted(p.name for p in DEMO.iterdir())


def python(code: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    around = {**os.environ, **more}  # as Python sees it: readline sets COLUMNS below it
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, env=around, capture_output=True, text=True, timeout=120)


def test_importing_the_package_loads_nothing() -> None:
    code = (
        "import sys, advisor\nadvisor.__version__, dir(advisor)\n"
        "ours = {m for m in sys.modules if m.startswith('advisor.')}\n"
        "assert ours == {'advisor.base', 'advisor.base.rendering', 'advisor.base.version'}, ours\n"
        "assert not {'numpy', 'rich', 'typer', 'msgspec'} & set(sys.modules)\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_every_name_is_there_and_no_module_hides_one() -> None:
    assert set(NAMES) <= set(advisor.__all__)
    for name in advisor.__all__:
        assert not isinstance(getattr(advisor, name), type(sys)), name
    importlib.import_module("advisor.pipeline")  # loads the modules below it
    assert callable(advisor.diagnose)
    assert set(advisor.__all__) <= set(dir(advisor))
    with pytest.raises(AttributeError, match="no attribute 'chekc'"):
        advisor.chekc  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.slow
def test_the_names_are_those_that_type_checkers_see(tmp_path: Path) -> None:
    """mypy --strict over a user's file: what is lazy at run time is typed all the same."""
    user = tmp_path / "user.py"
    user.write_text(
        "import advisor\n"
        "report = advisor.check('x', set={'data.samples': 1}, steps=(1, None))\n"
        "reveal_type(report)\nreveal_type(report.plan.apply('y').path)\n"
        "reveal_type(advisor.Monitor().report().findings[0].code)\nadvisor.check('x', selct='LR')\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental"]
    command += ["--follow-imports=silent", "--config-file=", str(user)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    shown = done.stdout
    assert '"advisor.findings.Report"' in shown
    assert '"Path | None"' in shown or '"pathlib.Path | None"' in shown
    assert '"str"' in shown
    assert 'Unexpected keyword argument "selct"' in shown
    assert shown.count("error:") == 1, shown


@pytest.mark.parametrize(
    ("name", "width"), [*((name, None) for name in DEMOS), ("rate-too-high", "84")]
)
def test_a_report_prints_what_the_command_prints(
    name: str, width: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if width:
        monkeypatch.setenv("COLUMNS", width)
    mine = python(f"import advisor\nprint(advisor.check({name!r}))", DEMO)
    assert mine.stdout == advise("check", name, cwd=DEMO).stdout
    assert mine.stderr == ""


def test_a_terminal_of_few_letters_is_printed_to_without_an_error() -> None:
    code = f"import advisor\nprint(advisor.check({str(DEMO / 'overfits')!r}))"
    done = python(code, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "EP004" in done.stdout


def test_check_all_gives_the_runs_of_the_command_in_its_order() -> None:
    reports = advisor.check_all(DEMO)
    done = advise("check", DEMO, "--format", "json")
    assert to_json(reports, ()) + "\n" == done.stdout


def test_of_several_runs_the_newest_is_judged_and_a_warning_names_it(tmp_path: Path) -> None:
    shutil.copytree(DEMO, tmp_path / "runs")
    for file in (tmp_path / "runs").rglob("*.*"):
        os.utime(file, (1e9, 1e9))
    os.utime(tmp_path / "runs" / "overfits" / "trainer_state.json", (2e9, 2e9))
    with pytest.warns(UserWarning, match=r"holds 5 runs, this is the newest: \S*overfits\S*;"):
        report = advisor.check(tmp_path / "runs")
    assert [finding.code for finding in report.findings] == ["EP004"]


def test_options_are_those_of_the_command(tmp_path: Path) -> None:
    assert not advisor.check(DEMO / "overfits", ignore="EP004").findings
    assert not advisor.check(DEMO / "overfits", select=["LR"]).findings
    assert advisor.check(DEMO / "rate-too-high", severity="warning").findings[-1].code == "LR004"
    cut = advisor.check(DEMO / "overfits", steps=(None, 150))
    assert cut.run.series["train/loss"].steps[-1] == 150
    facts = {"data.samples": 77, "method": "lora"}
    assert facts.items() <= advisor.check(DEMO / "overfits", set=facts).run.config.values.items()
    log = tmp_path / "log.csv"
    log.write_text("step,mine\n" + "".join(f"{n},{3 - n / 20}\n" for n in range(1, 40)))
    assert "train/loss" in advisor.check(log, map={"train/loss": "mine"}).run.series


def test_the_settings_of_the_project_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "advise.toml").write_text('ignore = ["EP004"]\n')
    monkeypatch.chdir(tmp_path)
    assert not advisor.check(DEMO / "overfits").findings
    run = advisor.check(DEMO / "overfits").run
    assert not advisor.diagnose(run).findings


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"select": "EP004x"}, "EP004x: no rule or symptom of that name, did you mean EP004"),
        ({"severity": "loud"}, "give one of info, warning, error"),
        ({"steps": (9, 3)}, "9 lies after 3"),
        ({"steps": "3:9"}, "give (first, last)"),
        ({"config": "nowhere.yaml"}, "nowhere.yaml"),
        ({"rules": ["nowhere.yaml"]}, "nowhere.yaml"),
    ],
    ids=str,
)
def test_bad_input_is_one_line(asked: dict[str, object], said: str) -> None:
    with pytest.raises(advisor.AdvisorError) as caught:
        advisor.check(DEMO / "overfits", **asked)  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_keyword_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="unknown keyword 'selct'; known: config, set"):
        advisor.check(DEMO, selct="LR")  # type: ignore[call-arg]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(advisor.AdvisorError, match="no such file"):
        advisor.check(tmp_path / "nowhere")
    shutil.copytree(DEMO / "overfits", tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "trainer_state.json").write_text('{"log_history": [')
    with pytest.warns(UserWarning, match=r"not read: .*b.trainer_state\.json"):
        report = advisor.check(tmp_path)
    assert report.run.path.endswith("a/trainer_state.json")


def test_diagnose_gives_the_report_of_check() -> None:
    report = advisor.check(DEMO / "rate-too-high")
    again = advisor.diagnose(report.run)
    assert again.findings == report.findings
    assert again.plan == report.plan


def own_run(rate: float, steps: object, losses: object) -> advisor.Run:
    series = {"train/loss": advisor.Series("train/loss", steps, losses)}  # type: ignore[arg-type]
    return advisor.Run("mine", "own", series, config=advisor.Config({"optimizer.lr": rate}))


def test_a_run_of_ones_own_numbers_may_be_lists() -> None:
    losses = [2.0 - 0.01 * n for n in range(60)] + [float("nan")] * 40
    report = advisor.diagnose(own_run(2e-4, list(range(1, 101)), losses))
    assert report.status == "failing"
    assert "nonfinite" in {finding.symptom for finding in report.findings}
    assert "mine  failing" in str(report)


@pytest.mark.parametrize(
    ("steps", "losses", "said"),
    [
        ([1, 2, 3], [1.0, 2.0], "3 steps and 2 values"),
        ([1, 3, 2], [1.0, 2.0, 3.0], "steps do not grow"),
        ([1, 2], ["a", "b"], "values are numbers"),
    ],
)
def test_numbers_that_are_no_series_are_refused(steps: object, losses: object, said: str) -> None:
    with pytest.raises(advisor.AdvisorError, match=said):
        advisor.diagnose(own_run(1e-4, steps, losses))


@pytest.mark.filterwarnings("ignore:not read")
def test_a_plan_is_written_as_the_command_writes_it(tmp_path: Path) -> None:
    mine, other = automodel(tmp_path / "run"), automodel(tmp_path / "run-b")
    plan = advisor.check(mine).plan
    written = plan.apply()
    assert advise("fix", other).returncode == 0
    assert written.path == mine / "config.next.yaml"
    assert written.new == (other / "config.next.yaml").read_text() == written.path.read_text()
    assert changed(AUTOMODEL, written.new) == ["  lr: 8.0e-5  # peak"]
    assert [each.edit.key for each in written.applied if each.written] == ["optimizer.lr"]
    assert (mine / "config.yaml").read_text() == AUTOMODEL
    assert plan.diff is not None
    assert "+  lr: 8.0e-5  # peak" in plan.diff
    assert (mine / "advise-fix.json").exists() and (other / "advise-fix.json").exists()


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run", name="args.json")
    plan = advisor.check(run).plan
    taken = tmp_path / "mine.json"
    taken.write_text("mine")
    for place in (taken, run / "args.json"):
        before = place.read_text()
        with pytest.raises(advisor.AdvisorError, match="exists already"):
            plan.apply(place)
        assert place.read_text() == before
    with pytest.raises(advisor.AdvisorError, match="exclude each other"):
        plan.apply(tmp_path / "new.json", in_place=True)
    before = (run / "args.json").read_text()
    assert plan.apply(in_place=True).path == run / "args.json"
    assert '"learning_rate": 0.00008' in (run / "args.json").read_text()
    assert before in [p.read_text() for p in run.iterdir() if p.name.startswith("args.json.")]
    assert str(ARGUMENTS["learning_rate"]) in before


def test_a_plan_without_edits_writes_nothing(tmp_path: Path) -> None:
    shutil.copytree(DEMO / "healthy", tmp_path / "run")
    before = sorted(tmp_path.rglob("*"))
    written = advisor.check(tmp_path / "run").plan.apply()
    assert (written.path, written.applied) == (None, ())
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.filterwarnings("ignore:not read")
def test_safe_leaves_out_what_is_for_review(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run")
    assert advisor.check(run).plan.apply(safe=True).path is None
    assert not (run / "config.next.yaml").exists()


def test_where_no_config_is_known_the_error_says_what_to_do() -> None:
    with pytest.raises(advisor.AdvisorError, match="belongs to no run"):
        advisor.Plan().apply()
    losses = np.concatenate([np.linspace(3, 2, 50), np.linspace(2, 9, 50)])
    plan = advisor.diagnose(own_run(2e-3, np.arange(1, 101), losses)).plan
    assert plan.edits
    with pytest.raises(advisor.AdvisorError, match=r"no config was found.*config=FILE"):
        plan.apply("x.yaml")


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in ("br", "meta", "line", "circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag


def elements(html: str) -> list[str]:
    found = _Elements()
    found.feed(html)
    assert found.open == []
    return found.seen


@pytest.mark.parametrize("name", DEMOS)
def test_a_report_draws_itself_as_one_closed_piece(name: str) -> None:
    report = advisor.check(DEMO / name)
    html = report._repr_html_()
    seen = elements(html)
    assert seen[0] == "div"
    assert not {"html", "body", "script", "link", "img", "iframe"} & set(seen)
    assert ("svg" in seen) == ("train/loss" in report.run.series)
    for finding in report.findings:
        assert finding.code in html


def test_the_style_of_a_piece_holds_within_it_alone() -> None:
    html = advisor.check(DEMO / "overfits")._repr_html_()
    style = html.split("<style>")[1].split("</style>")[0].replace("@media", "")
    style = style.replace("(prefers-color-scheme: dark) {", "")
    selectors = [rule.rpartition("}")[2].strip() for rule in style.split("{")[:-1]]
    assert len(selectors) > 20
    for selector in selectors:
        assert all(".advise" in part for part in selector.split(",")), selector


def test_html_escapes_what_a_log_holds_and_hides_secrets(tmp_path: Path) -> None:
    place = tmp_path / "<b>bold<script>"
    run = trainer(place, name="args.json")
    text = (run / "args.json").read_text().rstrip().removesuffix("}")
    (run / "args.json").write_text(text + ',\n"hub_token": "hf_abcdefghijklmnopqrstuvwxyz012345"}')
    report = advisor.check(run)
    html = report._repr_html_()
    assert report.plan.diff
    assert "<script" not in html and "&lt;script" in html
    assert "hf_abcdef" not in html + str(report) + repr(report) + report.plan.diff


def test_a_monitor_prints_and_draws_its_report() -> None:
    code = (  # by the Monitor's own module: `advisor.api` was not asked for
        "from advisor.monitor import Monitor\n"
        "m = Monitor({'optimizer.lr': 2e-3})\n"
        "for n in range(1, 81): m.observe(n, loss=3 - n / 60 if n < 60 else float('nan'))\n"
        "assert str(m) == str(m.report())\n"
        "assert m._repr_html_() == m.report()._repr_html_()\n"
        "assert '<svg' in m._repr_html_()\nprint(m)\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("live run  failing\n")
    assert "nan" in done.stdout


def test_a_monitor_that_is_off_says_so() -> None:
    monitor = advisor.Monitor(policy="off")
    assert "the Monitor is switched off: nothing is judged" in str(monitor)
    assert monitor.report().status == "unknown"


@pytest.mark.filterwarnings("ignore:not read")
def test_reports_are_named_in_one_line_copied_and_pickled(tmp_path: Path) -> None:
    report = advisor.check(automodel(tmp_path / "run"))
    assert repr(report).startswith("<Report ") and "\n" not in repr(report)
    for again in (copy.deepcopy(report), pickle.loads(pickle.dumps(report))):
        assert str(again) == str(report)
        assert again.plan.apply(tmp_path / "new.yaml").path == tmp_path / "new.yaml"
