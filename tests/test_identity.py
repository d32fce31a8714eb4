"""identity.py: whose token is taken, whose is not, and the secret that is made and kept."""

from __future__ import annotations

import base64
import json
import re
import threading
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallycast.errors import ConfigError, Refused
from tallycast.identity import LEEWAY_S, MAX_TOKEN_CHARACTERS, Actor, Identity, resolve_secret
from tallycast.settings import Settings

SECRET, OTHER = "s3cret-" * 6, "0ther-" * 7
NOW_S = 1_763_750_000
DAY_S = 86_400


def identity(*secrets: str, now_s: float = NOW_S) -> Identity:
    return Identity(secrets or (SECRET,), visitor_s=365 * DAY_S, clock=lambda: now_s)


def token(claims: object, secret: str = SECRET, **header: Any) -> str:
    """A token with any claims, made by the library as a site would make it."""
    return jwt.PyJWS().encode(json.dumps(claims).encode(), secret, algorithm=header.pop("alg", "HS256"), headers=header)


def refusal(text: str, **how: float) -> Refused:
    with pytest.raises(Refused) as caught:
        identity(**how).verify(text)
    for part in text.split("."):
        assert len(part) < 8 or part not in caught.value.message
    return caught.value


def test_a_token_that_a_site_made_is_taken() -> None:
    made = jwt.encode({"sub": "u:42", "exp": NOW_S + 60, "iat": NOW_S, "name": "Ada"}, SECRET, algorithm="HS256")
    assert identity().verify(made) == Actor("u:42", NOW_S + 60, None)


def test_what_the_hub_signs_others_can_verify() -> None:
    made = identity().sign("u:42", ttl_s=60, items=["post:1", "video:*"])
    claims = jwt.decode(made, SECRET, algorithms=["HS256"], options={"verify_exp": False})
    assert claims == {"sub": "u:42", "exp": NOW_S + 60, "items": ["post:1", "video:*"]}
    assert identity().verify(made) == Actor("u:42", NOW_S + 60, ("post:1", "video:*"))


def test_a_visitor_of_a_seed_is_the_same_on_every_hub_with_the_secret_and_on_no_other() -> None:
    token, actor = identity().visitor(b"one")
    assert identity().verify(token) == actor
    assert actor.name.startswith("v:")
    assert identity().visitor(b"one")[1] == actor
    assert identity(SECRET, OTHER).visitor(b"one")[1] == actor
    names = {identity(*secrets).visitor(seed)[1].name for secrets in ((), (OTHER,)) for seed in (b"one", b"two", b"")}
    assert len(names) == 6


def test_visitors_are_new_people_with_names_that_begin_v() -> None:
    people = [identity().visitor() for _ in range(50)]
    for made, actor in people:
        assert identity().verify(made) == actor
        assert re.fullmatch(r"v:[A-Za-z0-9_-]{22}", actor.name)
        assert actor.expires_s == NOW_S + 365 * DAY_S
        assert actor.may("anything")
    assert len({actor.name for _, actor in people}) == 50


@pytest.mark.parametrize(("ahead_s", "expired"), [(0.5, False), (1, False), (0, True), (-1, True), (-NOW_S, True)])
def test_a_token_is_good_until_its_exp_and_not_longer(ahead_s: float, expired: bool) -> None:
    made = token({"sub": "u:1", "exp": NOW_S + ahead_s})
    if expired:
        assert refusal(made).code == "token_expired"
    else:
        assert identity().verify(made).expires_s == NOW_S + ahead_s


def test_every_secret_verifies_and_the_first_signs() -> None:
    rotating = identity(OTHER, SECRET)
    assert rotating.verify(identity(SECRET).visitor()[0]).name.startswith("v:")
    made = rotating.sign("u:1", ttl_s=60)
    assert identity(OTHER).verify(made).name == "u:1"
    with pytest.raises(Refused, match="signature is wrong"):
        identity(SECRET).verify(made)


@pytest.mark.parametrize("sub", [None, "", "x" * 129, 42, ["u"], "u:é", "u\n1", "u\x7f", "u\x00", {"a": 1}, True])
def test_a_token_without_a_name_is_refused(sub: object) -> None:
    refused = refusal(token({"sub": sub, "exp": NOW_S + 60}))
    assert refused.code == "bad_token" and "`sub`" in refused.message


@pytest.mark.parametrize("sub", ["x", "x" * 128, "u:42", "Ada Lovelace", "!@#$%^&*()"])
def test_a_name_is_any_printable_ascii(sub: str) -> None:
    assert identity().verify(token({"sub": sub, "exp": NOW_S + 60})).name == sub


@pytest.mark.parametrize("exp", [None, "soon", str(NOW_S + 60), True, [NOW_S + 60], float("inf"), float("nan")])
def test_a_token_without_a_time_is_refused(exp: object) -> None:
    assert refusal(token({"sub": "u:1", "exp": exp})).code == "bad_token"


def test_claims_that_are_missing_are_named() -> None:
    assert "`exp`" in refusal(token({"sub": "u:1"})).message
    assert "`sub`" in refusal(token({"exp": NOW_S + 60})).message


@pytest.mark.parametrize(
    "claims", [[], None, 1, "text", {"sub": "u:\ud800", "exp": NOW_S + 60}, [{"sub": "u:1", "exp": NOW_S + 60}]]
)
def test_claims_that_are_no_object_are_refused(claims: object) -> None:
    assert refusal(token(claims)).code == "bad_token"


def test_a_token_of_another_secret_is_refused() -> None:
    refused = refusal(token({"sub": "u:1", "exp": NOW_S + 60}, OTHER))
    assert refused.code == "bad_token" and "signature is wrong" in refused.message


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", None, 256, "hs256"])
def test_a_token_that_says_it_needs_no_signature_is_refused(alg: object) -> None:
    header, claims = segment({"alg": alg, "typ": "JWT"}), segment({"sub": "u:1", "exp": NOW_S + 60})
    signature = token({"sub": "u:1", "exp": NOW_S + 60}).rpartition(".")[2]
    for made in (f"{header}.{claims}.", f"{header}.{claims}.{signature}"):
        assert refusal(made).code == "bad_token"


@pytest.mark.parametrize("alg", ["HS384", "HS512"])
def test_another_algorithm_is_refused_even_under_the_right_secret(alg: str) -> None:
    refused = refusal(token({"sub": "u:1", "exp": NOW_S + 60}, SECRET * 2, alg=alg))
    assert refused.code == "bad_token" and "HS256" in refused.message


def test_a_header_that_must_be_understood_and_is_not_is_refused() -> None:
    header = segment({"alg": "HS256", "crit": ["exp2"], "exp2": 1})
    claims = segment({"sub": "u:1", "exp": NOW_S + 60})
    algorithm = jwt.get_algorithm_by_name("HS256")
    signed = algorithm.sign(f"{header}.{claims}".encode(), algorithm.prepare_key(SECRET))
    signature = base64.urlsafe_b64encode(signed).rstrip(b"=").decode()
    assert refusal(f"{header}.{claims}.{signature}").code == "bad_token"


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "...", "a.b.c", "x" * 100, "Bearer x", "é.é.é", "\ud800", "\x00", "a" * (MAX_TOKEN_CHARACTERS + 1)],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    assert refusal(text).code == "bad_token"


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_a_token_changed_in_any_place_is_refused(at: int, character: str) -> None:
    made = token({"sub": "u:1", "exp": NOW_S + 60})
    at %= len(made)
    changed = made[:at] + character + made[at + 1 :]
    if changed != made:
        assert refusal(changed).code == "bad_token"


@given(st.text(max_size=80))
def test_no_text_makes_verification_fail_otherwise(text: str) -> None:
    with pytest.raises(Refused):
        identity().verify(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_no_claim_makes_verification_fail_otherwise(value: object) -> None:
    for name in ("sub", "exp", "nbf", "aud", "items"):
        try:
            actor = identity().verify(token({"sub": "u:1", "exp": NOW_S + 60, name: value}))
        except Refused as refused:
            assert refused.code in ("bad_token", "token_expired")
        else:
            assert isinstance(actor, Actor)


@pytest.mark.parametrize(
    ("nbf", "good"),
    [(NOW_S, True), (NOW_S + LEEWAY_S, True), (NOW_S + LEEWAY_S + 1, False), ("now", False), (None, False)],
)
def test_a_token_is_not_good_before_its_nbf(nbf: object, good: bool) -> None:
    made = token({"sub": "u:1", "exp": NOW_S + 600, "nbf": nbf})
    if good:
        assert identity().verify(made).name == "u:1"
    else:
        assert "`nbf`" in refusal(made).message


@pytest.mark.parametrize(
    ("aud", "good"),
    [("tallycast", True), (["shop", "tallycast"], True), ("shop", False), (["shop"], False), ([], False), ({}, False)],
)
def test_a_token_for_somebody_else_is_refused(aud: object, good: bool) -> None:
    made = token({"sub": "u:1", "exp": NOW_S + 600, "aud": aud})
    if good:
        assert identity().verify(made).name == "u:1"
    else:
        assert "`aud`" in refusal(made).message


def test_a_site_whose_clock_is_ahead_is_understood() -> None:
    assert identity().verify(token({"sub": "u:1", "exp": NOW_S + 600, "iat": NOW_S + 5})).name == "u:1"


@pytest.mark.parametrize(
    ("items", "allowed", "denied"),
    [
        (["post:1"], ["post:1"], ["post:2", "post:11", "post:", "POST:1"]),
        (["post:*"], ["post:1", "post:", "post:1/2"], ["post", "video:1", "xpost:1"]),
        (["post:1", "video:*"], ["post:1", "video:9"], ["post:2", "audio:1"]),
        (["*"], ["anything"], []),
        ([], [], ["anything"]),
        (None, ["anything"], []),
    ],
)
def test_a_scoped_token_is_good_for_its_items_alone(
    items: list[str] | None, allowed: list[str], denied: list[str]
) -> None:
    actor = identity().verify(token({"sub": "u:1", "exp": NOW_S + 60, "items": items}))
    assert all(actor.may(item) for item in allowed)
    assert not any(actor.may(item) for item in denied)


@pytest.mark.parametrize(
    "items", ["post:1", {"post:1": 1}, [1], [None], [""], ["a b"], ["po*st"], ["**"], ["*post"], ["x" * 201], 0, False]
)
def test_a_scope_of_another_shape_is_refused(items: object) -> None:
    refused = refusal(token({"sub": "u:1", "exp": NOW_S + 60, "items": items}))
    assert refused.code == "bad_token" and "`items`" in refused.message


@pytest.mark.parametrize(
    ("sub", "ttl_s", "items", "expected"),
    [
        ("", 60, None, "printable ASCII"),
        ("é", 60, None, "printable ASCII"),
        ("x" * 129, 60, None, "printable ASCII"),
        ("u:1", 0, None, "1 second to 100 years"),
        ("u:1", float("nan"), None, "1 second to 100 years"),
        ("u:1", 1e30, None, "1 second to 100 years"),
        ("u:1", float("inf"), None, "1 second to 100 years"),
        ("u:1", 60, ["a b"], "`items`"),
        ("u:1", 60, [f"{'x' * 190}:{n}" for n in range(40)], "fewer items"),
    ],
)
def test_no_token_is_signed_that_would_be_refused(
    sub: str, ttl_s: float, items: list[str] | None, expected: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(expected)):
        identity().sign(sub, ttl_s=ttl_s, items=items)


@pytest.mark.parametrize("header", ["Bearer {}", "bearer {}", "BEARER  {} "])
def test_a_bearer_header_holds_a_token(header: str) -> None:
    assert identity().bearer(header.format(identity().sign("u:1", ttl_s=60))).name == "u:1"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dTpw", "Token {}", "{}", "Bearer{}"])
def test_a_header_of_another_form_is_refused(header: str) -> None:
    with pytest.raises(Refused) as caught:
        identity().bearer(header.format(identity().sign("u:1", ttl_s=60)))
    assert caught.value.code == "bad_token"


def test_an_identity_needs_a_secret_that_is_one() -> None:
    with pytest.raises(ConfigError, match="TALLYCAST_SECRET"):
        Identity([], visitor_s=1)
    with pytest.raises(ConfigError, match="key pair"):
        identity("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAbcdefghijklmnopqrstuvwxyz0123456789 me@example")


# The secret beside the store


def store(path: Path) -> Settings:
    return Settings(store=f"sqlite:///{path}")


def test_a_secret_that_is_given_is_the_one(tmp_path: Path) -> None:
    path = tmp_path / "counts.db"
    assert resolve_secret(Settings(store=f"sqlite:///{path}", secret=(SECRET, OTHER))) == (SECRET, OTHER)
    assert list(tmp_path.iterdir()) == []


def test_without_one_a_secret_is_made_and_kept_beside_the_store(tmp_path: Path) -> None:
    made = resolve_secret(store(tmp_path / "counts.db"))
    kept = tmp_path / "counts.db.secret"
    assert list(tmp_path.iterdir()) == [kept]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.read_text() == f"{made[0]}\n" and len(made) == 1 and len(made[0]) >= 32
    assert resolve_secret(store(tmp_path / "counts.db")) == made
    assert resolve_secret(store(tmp_path / "other.db")) != made
    assert Identity(made, visitor_s=DAY_S).visitor()


def test_a_relative_store_keeps_its_secret_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    resolve_secret(Settings())
    assert [path.name for path in tmp_path.iterdir()] == ["tallycast.db.secret"]


def test_processes_that_start_at_once_get_the_same_secret(tmp_path: Path) -> None:
    found: list[tuple[str, ...]] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        found.append(resolve_secret(store(tmp_path / "counts.db")))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["counts.db.secret"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610])
def test_a_kept_secret_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    (secret,) = resolve_secret(store(tmp_path / "counts.db"))
    (tmp_path / "counts.db.secret").chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        resolve_secret(store(tmp_path / "counts.db"))
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"short\n", b"x" * 31, b"\xff" * 40, b"x" * 40 + b"\n\n", b"x" * 20 + b"\n" + b"y" * 20]
)
def test_a_kept_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    kept = tmp_path / "counts.db.secret"
    kept.write_bytes(content)
    kept.chmod(0o600)
    with pytest.raises(ConfigError, match=r"counts\.db\.secret holds no secret: expected secrets of") as caught:
        resolve_secret(store(tmp_path / "counts.db"))
    assert "xxxx" not in str(caught.value)
    assert kept.read_bytes() == content


def test_a_secret_that_cannot_be_kept_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "taken.db.secret").mkdir()
    with pytest.raises(ConfigError, match=r"taken\.db\.secret: Is a directory; .*TALLYCAST_SECRET"):
        resolve_secret(store(tmp_path / "taken.db"))
    (tmp_path / "gone.db.secret").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"gone\.db\.secret: No such file or directory; "):
        resolve_secret(store(tmp_path / "gone.db"))


def test_a_store_in_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for parent in ("absent", "file"):
        with pytest.raises(ConfigError, match=rf"{parent}/counts\.db: its directory does not exist"):
            resolve_secret(store(tmp_path / parent / "counts.db"))


def test_a_store_that_hubs_share_needs_a_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set TALLYCAST_SECRET, the same for every hub"):
        resolve_secret(Settings(store="redis://127.0.0.1:6379/0"))
