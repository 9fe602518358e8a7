import sys
import types


def test_the_limits_are_known():
    from limits import PROMPT

    assert PROMPT > 0


def test_the_app_works_without_the_llm_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "llm", types.SimpleNamespace(complete=lambda prompt: "canned"))
    from app import run

    assert run("hi") == "canned"
