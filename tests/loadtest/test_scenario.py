"""Scenarios: what ships can be run, what is wrong is said in one line."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from tallycast_loadtest.keys import ScenarioError
from tallycast_loadtest.scenario import KEYS, Scenario, load, shipped

DOCUMENT = Path(__file__).parents[2] / "docs" / "loadtest.md"


def refusal(source: str | Path, *overrides: str) -> str:
    """What is said of a scenario that cannot be run."""
    with pytest.raises(ScenarioError) as refused:
        load(str(source), overrides)
    text = str(refused.value)
    assert "\n" not in text
    return text


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_five_scenarios_ship_and_say_what_they_are_like() -> None:
    assert shipped() == ("article", "deploy", "launch", "livestream", "soak")
    for name in shipped():
        scenario = load(name)
        assert scenario.name == name and scenario.about
        assert scenario.ramp_s + scenario.duration_s <= 60 or name == "soak"


def test_the_shipped_ones_have_what_their_names_promise() -> None:
    article, deploy, launch, livestream, soak = (load(name) for name in shipped())
    assert (article.viewers, article.items, article.distribution, article.rate_per_s) == (2000, 500, "zipf", 200)
    assert (livestream.viewers, livestream.items, livestream.rate_per_s) == (2000, 1, 500)
    assert (launch.viewers, launch.ramp_s) == (3000, 10)
    assert (deploy.viewers, deploy.rate_per_s) == (1000, 100)
    assert 0 < deploy.restart_at_s < deploy.duration_s
    assert soak.duration_s == 600


def test_a_file_gives_some_keys_and_the_table_the_others(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.toml", 'viewers = 7\nrate_per_s = 3\n[kinds]\nlike = 2\n"share" = 1\n')
    scenario = load(str(path))
    assert scenario == Scenario(name="mine", viewers=7, rate_per_s=3.0, kinds={"like": 2.0, "share": 1.0})
    assert isinstance(scenario.rate_per_s, float)
    assert scenario.items == next(key.default for key in KEYS if key.name == "items")


def test_set_wins_over_the_file() -> None:
    scenario = load("article", ["viewers=50", "arrivals=constant", "kinds=clap=1, share=0.5", "think_s=0"])
    assert (scenario.viewers, scenario.arrivals, scenario.think_s) == (50, "constant", 0.0)
    assert scenario.kinds == {"clap": 1.0, "share": 0.5}
    assert scenario.items == load("article").items


def test_each_default_can_be_given_as_it_is_shown() -> None:
    scenario = load("article", [f"{key.name}={key.default_text}" for key in KEYS])
    assert scenario == Scenario()


def test_a_scenario_reaches_other_processes_whole() -> None:
    for name in shipped():
        assert pickle.loads(pickle.dumps(load(name))) == load(name)


def test_json_holds_every_key() -> None:
    assert list(Scenario().to_json()) == [key.name for key in KEYS]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("viewrs = 3", "there is no key 'viewrs'; did you mean viewers, a whole number from 0 to 100000?"),
        ("[restart]\nat_s = 3", "there is no key 'restart'; did you mean restart_at_s, a number from 0 to 86400?"),
        ("xyz = 3", "there is no key 'xyz'; keys are name, about, viewers, "),
        ("viewers = -1", "viewers is '-1': expected a whole number from 0 to 100000"),
        ("viewers = 100001", "viewers is '100001': expected a whole number from 0 to 100000"),
        ("viewers = 2.0", "viewers is '2.0': expected a whole number"),
        ("viewers = true", "viewers is 'True': expected a whole number"),
        ('viewers = "9"', "viewers is '9': expected a whole number"),
        ("rate_per_s = nan", "rate_per_s is 'nan': expected a number from 0 to 100000"),
        ("duration_s = inf", "duration_s is 'inf': expected a number from 1 to 86400"),
        ('distribution = "Zipf"', "distribution is 'Zipf': expected one of uniform, zipf, hot"),
        ("kinds = {}", "kinds is '{}': expected kinds with their weights, such as like=0.7,clap=0.3"),
        ("kinds = { Like = 1 }", "expected kinds with their weights"),
        ('kinds = { like = "1" }', "expected kinds with their weights"),
        ("kinds = { like = 0 }", "kinds gives 'like' the weight 0: expected a number above 0"),
        ("kinds = { like = nan }", "kinds gives 'like' the weight nan: expected a number above 0"),
        ("items = 3\nitems_per_viewer = 4", "items_per_viewer is 4: there are only 3 items"),
        ("rate_per_s = 50", "rate_per_s is 50: with think_s 1, reactors must be at least 50, not 20"),
        ("rate_per_s = 50\nthink_s = 0\nreactors = 0", "reactors must be at least 1, not 0"),
        ("slow_share = 0.6\nstuck_share = 0.5", "slow_share and stuck_share are together more than 1"),
        ("storm_at_s = 30", "storm_at_s is 30: the reactions end before, duration_s is 30"),
        ("restart_at_s = 31", "restart_at_s is 31: the reactions end before, duration_s is 30"),
        ("viewers = ", "is not TOML: "),
    ],
)
def test_a_wrong_file_is_named_with_its_key_and_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path / "mine.toml", text)
    refused = refusal(path)
    assert refused.startswith(str(path))
    assert said in refused


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("viewers", "--set viewers: expected key=value, such as viewers=500"),
        ("viewers=many", "--set: viewers is 'many': expected a whole number from 0 to 100000"),
        ("rate=5", "--set: there is no key 'rate'; did you mean rate_per_s, a number from 0 to 100000?"),
        ("kinds=like", "--set: kinds is 'like': expected kinds with their weights, such as like=0.7,clap=0.3"),
        ("arrivals=now", "--set: arrivals is 'now': expected one of constant, poisson"),
    ],
)
def test_a_wrong_override_is_named(override: str, said: str) -> None:
    assert refusal("article", override) == said


def test_an_unknown_name_brings_the_nearest_one_and_the_list() -> None:
    assert refusal("artcle") == (
        "there is no scenario or file 'artcle'; did you mean article? "
        "shipped are article, deploy, launch, livestream, soak"
    )


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in refusal(tmp_path)
    path = tmp_path / "latin.toml"
    path.write_bytes(b'about = "caf\xe9"')
    assert "cannot be read: it is not UTF-8" in refusal(path)


def test_the_document_has_each_key_and_each_shipped_scenario_as_they_are() -> None:
    lines = DOCUMENT.read_text("utf-8").splitlines()
    for key in KEYS:
        default = f"`{key.default_text}`" if key.default_text else "none"
        assert f"| `{key.name}` | {key.expected} | {default} | {key.help} |" in lines
    for name in shipped():
        assert f"| `{name}` | {load(name).about} |" in lines
