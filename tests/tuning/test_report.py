"""`advise report` of a session and of runs: text, one page of HTML, the best config."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from advisor.report.curves_svg import colour
from tests.tuning.test_tune import CONFIG, ROOT, advise, tune

VOID = {"meta", "br", "line", "circle", "polyline"}


class Balanced(HTMLParser):
    """Fails on a tag that is not closed, and on anything that a browser would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "img", "iframe", "object")
        assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick", "onerror"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def check_page(text: str) -> None:
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert "http" not in text and "url(" not in text and "@import" not in text


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("<b>&'tune")
    (place / "my.json").write_text(CONFIG)
    done = tune(place, "--runs", "3")
    assert done.returncode == 0, done.stderr
    return place


def test_the_text_tells_what_was_tried_the_gain_and_the_cost(session: Path) -> None:
    done = advise(session, "report", "tune-my")
    assert done.returncode == 0, done.stderr
    for part in ("your config as it is", "learning_rate 1e-05 ->", "kept", "best: run",
                 "a gain of", "cost: 3 runs", "+++ b/my.json"):  # fmt: skip
        assert part in done.stdout


def test_the_page_is_whole_needs_no_network_and_escapes_what_it_shows(session: Path) -> None:
    page = session / "whole.html"
    done = advise(session, "report", str(session / "tune-my"), "--html", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    check_page(text)
    assert "<svg" in text and "prefers-color-scheme: dark" in text
    assert "&lt;b&gt;&amp;&#x27;tune" in text  # the session's folder


def test_the_best_config_is_exported_and_overwrites_only_by_force(session: Path) -> None:
    assert advise(session, "report", "tune-my", "--export", "out.json").returncode == 0
    assert json.loads((session / "out.json").read_text())["learning_rate"] > 1e-4
    (session / "out.json").write_text("mine")
    refused = advise(session, "report", "tune-my", "--export", "out.json")
    assert refused.returncode == 2 and "--force overwrites it" in refused.stderr
    assert (session / "out.json").read_text() == "mine"
    assert advise(session, "report", "tune-my", "--export", "out.json", "--force").returncode == 0


def test_json_is_one_object_with_all_runs(session: Path) -> None:
    said = json.loads(advise(session, "report", "tune-my", "--json").stdout)
    assert said["schema"] == 1 and len(said["runs"]) >= 3
    assert said["outcome"]["best"] in [run["number"] for run in said["runs"]]


def test_plain_runs_are_reported_too(session: Path) -> None:
    page = session / "demo.html"
    done = advise(session, "report", str(ROOT / "presets" / "demo"), "--html", str(page))
    assert done.returncode == 0, done.stderr
    assert "LR004" in done.stdout
    check_page(page.read_text())
    assert len(re.findall("<svg", page.read_text())) >= 3


def test_export_of_what_is_no_session_is_refused(session: Path) -> None:
    done = advise(session, "report", str(ROOT / "presets" / "demo"), "--export", "x.yaml")
    assert done.returncode == 2 and "holds no session" in done.stderr


def test_each_curve_of_the_page_has_a_colour_of_its_own() -> None:
    colours = [colour(at) for at in range(30)]
    assert len(set(colours)) == 30


def test_the_page_speaks_the_users_own_keys(session: Path) -> None:
    page = (session / "tune-my" / "report.html").read_text()
    assert "learning_rate 1e-05 -&gt;" in page and "optimizer.lr" not in page
