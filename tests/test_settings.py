"""settings.py: what is read, what is refused, and that the documents list all of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallycast.errors import ConfigError
from tallycast.settings import CLIENT_NAMES, SETTINGS, Setting, Settings, read_kinds, redacted

SECRET = "0123456789abcdef" * 2
OPERATIONS = Path(__file__).parents[1] / "docs" / "operations.md"


def load(**environ: str) -> Settings:
    return Settings.load({f"TALLYCAST_{name}": value for name, value in environ.items()}, {})


def refusal(environ: dict[str, str], flags: dict[str, object] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        Settings.load(environ, flags or {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def texts(setting: Setting) -> st.SearchStrategy[tuple[str, Any]]:
    """Texts of a setting's right values, each with the value that it stands for."""
    if setting.type == "integer":
        return st.integers(setting.low, setting.high).map(lambda number: (str(number), number))
    if setting.type == "choice":
        return st.sampled_from(setting.choices).map(lambda choice: (choice, choice))
    right = {
        "host": ["0.0.0.0", "::1", "hub.example"],
        "store": ["sqlite:///a.db", "sqlite:////var/lib/a.db", "redis://cache:6379/0"],
        "kinds": ["kinds.toml", "/etc/tally cast/kinds.toml"],
        "prefix": ["tallycast:", "a|b~"],
        "secret": [SECRET, SECRET[::-1], "ab" * 40],
        "origins": ["*", "https://a.example", "https://*.b.example:8443"],
        "trusted_proxies": ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"],
        "webhook_networks": ["127.0.0.1", "10.0.0.0/8"],
    }[setting.name]
    if setting.type == "text":
        return st.sampled_from(right).map(lambda text: (text, text))
    entries = st.lists(st.sampled_from(right), min_size=1, unique=True)
    return entries.map(lambda chosen: (" , ".join(chosen), tuple(chosen)))


everything = st.fixed_dictionaries({}, optional={setting.name: texts(setting) for setting in SETTINGS})


@given(everything)
def test_every_setting_is_read_from_the_environment_and_from_flags_alike(given: dict[str, tuple[str, Any]]) -> None:
    expected = Settings(**{name: value for name, (_, value) in given.items()})
    environ = {f"TALLYCAST_{name.upper()}": text for name, (text, _) in given.items()}
    assert Settings.load(environ, {}) == expected
    assert Settings.load({}, {name: text for name, (text, _) in given.items()}) == expected
    assert Settings.load({}, {name: value for name, (_, value) in given.items()}) == expected


@given(everything, everything)
def test_a_flag_wins_over_the_environment(
    environ: dict[str, tuple[str, Any]], flags: dict[str, tuple[str, Any]]
) -> None:
    loaded = Settings.load(
        {f"TALLYCAST_{name.upper()}": text for name, (text, _) in environ.items()},
        {setting.name: flags[setting.name][0] if setting.name in flags else None for setting in SETTINGS},
    )
    for setting in SETTINGS:
        chosen = flags.get(setting.name) or environ.get(setting.name)
        assert getattr(loaded, setting.name) == (chosen[1] if chosen else setting.default)


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.load({"PATH": "/bin", "TALLY": "1"}, {}) == Settings()


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_variable_is_unset(empty: str) -> None:
    assert Settings.load({setting.env: empty for setting in SETTINGS}, {}) == Settings()


def test_an_empty_flag_empties_a_list_and_is_no_number() -> None:
    environ = {"TALLYCAST_ORIGINS": "https://a.example"}
    assert Settings.load(environ, {"origins": ""}).origins == ()
    assert "--port" in refusal({}, {"port": ""})


def test_a_list_may_come_as_a_repeated_flag() -> None:
    assert Settings.load({}, {"origins": ["https://a.example", "*"]}).origins == ("https://a.example", "*")


@pytest.mark.parametrize(
    "value",
    ["-1", "65536", "80.0", "1e3", "1_000", "0x50", "٣", "abc", "8000 9000", "9" * 5000, "NaN", "tcp://10.0.0.1:8000"],
)
def test_a_wrong_number_is_refused_with_what_was_expected(value: str) -> None:
    message = refusal({"TALLYCAST_PORT": value})
    assert message.startswith("TALLYCAST_PORT (--port) is ") and value[:100] in message
    assert message.endswith("expected a whole number from 0 to 65535")
    assert len(message) < 250


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TICK_MS", "0", "a whole number from 1 to 60000"),
        ("PING_S", "3601", "a whole number from 0 to 3600"),
        ("MESSAGE_BYTES", "255", "a whole number from 256 to 1048576"),
        ("MAX_CONNECTIONS", "-1", "a whole number from 0"),
        ("VIEWING", "nobody", "one of anyone, token"),
        ("DURABILITY", "off", "one of full, normal"),
        ("LOG_FORMAT", "xml", "one of text, json"),
        ("LOG_LEVEL", "INFO", "one of debug, info, warning, error, critical"),
        ("HOST", "127.0.0.1 0.0.0.0", "a host name or address without a port"),
        ("HOST", "http://127.0.0.1", "a host name or address without a port"),
        ("STORE", "tallycast.db", "a URL such as sqlite:///"),
        ("STORE", "sqlite://tallycast.db", "a URL such as sqlite:///"),
        ("STORE", "sqlite:///", "a URL such as sqlite:///"),
        ("ORIGINS", "example.com", "an origin such as https://www.example.com"),
        ("ORIGINS", "https://a.example,,https://b.example", "an origin such as"),
        ("TRUSTED_PROXIES", "proxy.internal", "an address or a network"),
        ("TRUSTED_PROXIES", "10.1.2.3/8", "an address or a network such as 10.0.0.0/8 or 2001:db8::/32 (its host bits"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_what_was_expected(name: str, value: str, expected: str) -> None:
    message = refusal({f"TALLYCAST_{name}": value})
    assert message.startswith(f"TALLYCAST_{name} (--{name.lower().replace('_', '-')}) is '")
    assert f": expected {expected}" in message


def test_the_wrong_entry_of_a_list_is_named() -> None:
    assert "'https://b.example/path'" in refusal({"TALLYCAST_ORIGINS": "https://a.example,https://b.example/path"})


@pytest.mark.parametrize(
    "limit", [setting.env for setting in SETTINGS if "0 for no" in setting.help or "0 for never" in setting.help]
)
def test_a_limit_can_be_turned_off(limit: str) -> None:
    assert getattr(Settings.load({limit: "0"}, {}), limit.removeprefix("TALLYCAST_").lower()) == 0


@pytest.mark.parametrize(
    "fields", [{"port": 70_000}, {"tick_ms": 0}, {"ping_s": True}, {"origins": ("a",)}, {"secret": ("x",)}]
)
def test_settings_made_in_code_are_checked_too(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"TALLYCAST_{next(iter(fields)).upper()}"):
        Settings(**fields)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("TALLYCAST_PROT", "TALLYCAST_PORT"),
        ("TALLYCAST_ORIGIN", "TALLYCAST_ORIGINS"),
        ("TALLYCAST_TOKENS", "TALLYCAST_TOKEN"),
        ("TALLYCAST_MAX_CONNECTION", "TALLYCAST_MAX_CONNECTIONS"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(name: str, near: str) -> None:
    assert refusal({name: "1"}) == f"{name} is no setting: did you mean {near}?"


def test_an_unknown_name_far_from_all_points_to_the_list() -> None:
    assert refusal({"TALLYCAST_XQ": "1"}) == "TALLYCAST_XQ is no setting: docs/operations.md lists every setting"


def test_an_unknown_name_is_refused_even_when_it_is_empty() -> None:
    assert "TALLYCAST_PROT" in refusal({"TALLYCAST_PROT": ""})


@pytest.mark.parametrize("name", ["TALLYCAST_SERVICE_HOST", "TALLYCAST_SERVICE_PORT", "TALLYCAST_PORT_8000_TCP_ADDR"])
def test_what_kubernetes_adds_is_recognised(name: str) -> None:
    message = refusal({"TALLYCAST_PORT": "tcp://10.0.0.1:8000", name: "10.0.0.1"})
    assert name in message and "enableServiceLinks: false" in message


def test_the_names_of_the_client_commands_are_known() -> None:
    assert Settings.load(dict.fromkeys(CLIENT_NAMES, "x"), {}) == Settings()


@pytest.mark.parametrize("secret", ["hunter2", "x" * 31, f"{SECRET},hunter2", f"{SECRET},", "é" * 40, "\udcff" * 40])
def test_a_weak_secret_is_refused_and_never_shown(secret: str) -> None:
    message = refusal({"TALLYCAST_SECRET": secret})
    assert message.startswith("TALLYCAST_SECRET (--secret) is wrong: expected secrets of ")
    assert "openssl rand -hex 32" in message
    assert "hunter2" not in message and SECRET not in message and "x" * 31 not in message


def test_secrets_are_several_while_rotating() -> None:
    assert load(SECRET=f"{SECRET},{SECRET[::-1]}").secret == (SECRET, SECRET[::-1])


def test_no_secret_is_in_the_repr() -> None:
    shown = repr(load(SECRET=SECRET, STORE="redis://user:pass:word@cache/0"))
    assert SECRET not in shown and "pass" not in shown and "word" not in shown
    assert "port=8000" in shown and "redis://user:…@cache/0" in shown


def test_the_password_of_a_url_is_not_in_an_error() -> None:
    assert redacted("x redis://:p@ss/word@cache/0 y") == "x redis://:…@cache/0 y"
    assert redacted("redis+sentinel://a/s?sentinel_username=u&sentinel_password=w%20 x").endswith(
        "&sentinel_password=… x"
    )
    assert redacted("sqlite:///a.db http://a:80 b@c") == "sqlite:///a.db http://a:80 b@c"
    assert "hunter2" not in refusal({"TALLYCAST_ORIGINS": "https://me:hunter2@a.example"})


def test_the_packaged_kinds_are_read_by_default() -> None:
    assert list(read_kinds(Settings()).shown) == ["like", "dislike", "love", "clap", "share", "download"]


def test_a_kinds_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('[wow]\nrule = "toggle"\nemoji = "😮"\n', "utf-8")
    assert read_kinds(Settings(kinds=str(path)))["wow"].emoji == "😮"


def test_a_kinds_file_that_cannot_be_read_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"[like]\nlabel = '\xe9'\n")
    (tmp_path / "wrong.toml").write_text("[like]\nrule = 'count'\n")
    for name, expected in [
        ("absent.toml", "No such file"),
        ("", "Is a directory"),
        ("latin.toml", "not UTF-8 at byte 16"),
        ("wrong.toml", "[like] rule: expected one of toggle, amount, event"),
    ]:
        path = str(tmp_path / name)
        with pytest.raises(ConfigError) as caught:
            read_kinds(Settings(kinds=path))
        assert path in str(caught.value) and expected in str(caught.value)


def test_settings_are_named_by_one_rule() -> None:
    names = [setting.name for setting in SETTINGS]
    assert len(set(names)) == len(names)
    for setting in SETTINGS:
        assert re.fullmatch(r"TALLYCAST_[A-Z_]+", setting.env) and re.fullmatch(r"--[a-z-]+", setting.flag)
        assert setting.help and "\n" not in setting.help and "|" not in setting.help
        assert setting.default == getattr(Settings(), setting.name)


def test_the_operations_page_lists_every_setting_as_the_table_has_it() -> None:
    rows = [line for line in OPERATIONS.read_text("utf-8").splitlines() if re.match(r"\| `TALLYCAST_[A-Z_]+` \|", line)]
    assert rows == [documented(setting) for setting in SETTINGS] + [
        f"| `{name}` | {meaning} |" for name, meaning in CLIENT_NAMES.items()
    ]


def documented(setting: Setting) -> str:
    """The setting's row in docs/operations.md."""
    default = f"`{setting.default_text}`" if setting.default_text else "none"
    return f"| `{setting.env}` | `{setting.flag}` | {default} | {setting.help} | {setting.expected} |"
