"""tools/conversations.py fails where what was played is not what docs/conversations.md says, whichever way."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import conversations  # noqa: E402

DOCUMENT = """# Conversations

## The score

| area | as Kafka answers | differs | needs an API that is not advertised, or another set-up |
|---|---|---|---|
| fetch | 2 | 1 | 0 |
| groups | 1 | 0 | 1 |

## Differs on purpose

| conversations | why |
|---|---|
| `fetch/odd` | said here |
"""


def outcome(name, state):
    return {"name": name, "version": None, "state": state, "text": f"why {name} is {state}", "step": 0}


@pytest.fixture
def played():
    states = {"fetch/one": "passed", "fetch/two": "passed", "fetch/odd": "failed", "groups/one": "passed",
              "groups/later": "unsupported"}
    return {name: outcome(name, state) for name, state in states.items()}


def run(monkeypatch, tmp_path, results, *arguments):
    document = tmp_path / "conversations.md"
    document.write_text(DOCUMENT)
    monkeypatch.setattr(conversations, "DOCUMENT", document)
    monkeypatch.setattr(conversations, "WANTED", ("fetch",))
    monkeypatch.setattr(conversations, "play_all", lambda: results)
    monkeypatch.setattr(sys, "argv", ["conversations.py", *arguments])
    return conversations.main(), document.read_text()


def test_what_the_document_says_is_no_complaint(monkeypatch, tmp_path, played, capsys):
    assert run(monkeypatch, tmp_path, played)[0] == 0
    assert "score: 3 as Kafka answers, 1 differ, 0 of them not known" in capsys.readouterr().out
    assert run(monkeypatch, tmp_path, played, "--write") == (0, DOCUMENT)


@pytest.mark.parametrize("name, state, said", [
    ("fetch/two", "failed", ["REGRESSION: fetch/two", "says | fetch | 2 | 1 | 0 |", "it was | fetch | 1 | 2 | 0 |"]),
    ("fetch/odd", "passed", ["STALE: fetch/odd", "it was | fetch | 3 | 0 | 0 |"]),
    ("fetch/two", "unsupported", ["says | fetch | 2 | 1 | 0 |", "it was | fetch | 1 | 1 | 1 |",
                                  "not played: fetch/two: why fetch/two is unsupported"]),
    ("groups/one", "skipped", ["says | groups | 1 | 0 | 1 |", "it was | groups | 0 | 0 | 2 |",
                               "not played: groups/one: why groups/one is skipped"]),
    ("groups/later", "passed", ["says | groups | 1 | 0 | 1 |", "it was | groups | 2 | 0 | 0 |"]),
    ("fetch/two", None, ["says | fetch | 2 | 1 | 0 |", "it was | fetch | 1 | 1 | 0 |"]),
    ("new/one", "passed", ["it was | new | 1 | 0 | 0 |"]),
])
def test_each_change_fails_and_is_named(monkeypatch, tmp_path, played, capsys, name, state, said):
    if state is None:
        del played[name]
    else:
        played[name] = outcome(name, state)
    assert run(monkeypatch, tmp_path, played)[0] == 1
    complaints = capsys.readouterr().out
    for part in said:
        assert part in complaints
    other = "groups" if name.startswith("fetch") else "fetch"
    assert f"says | {other} " not in complaints


def test_an_area_that_is_not_played_at_all_fails(monkeypatch, tmp_path, played, capsys):
    del played["groups/one"], played["groups/later"]
    assert run(monkeypatch, tmp_path, played)[0] == 1
    assert "SCORE: docs/conversations.md says | groups | 1 | 0 | 1 |" in capsys.readouterr().out


def test_writing_changes_the_score_alone(monkeypatch, tmp_path, played):
    played["groups/later"] = outcome("groups/later", "passed")
    assert run(monkeypatch, tmp_path, played, "--write") == (
        0, DOCUMENT.replace("| groups | 1 | 0 | 1 |", "| groups | 2 | 0 | 0 |"))


def test_the_worst_play_is_the_outcome():
    plays = [outcome("a/b", state) for state in ("unsupported", "passed", "failed", "passed")]
    assert conversations.by_name(plays)["a/b"]["state"] == "failed"
    assert conversations.by_name(plays[:2])["a/b"]["state"] == "unsupported"
