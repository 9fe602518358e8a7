"""The configuration: what a file may say, what is wrong with one, and who wins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_app import config, mini_agent
from reference_app.config import Agent, Config, Model, Server, Traces
from reference_app.config_file import ConfigError, read_config

pytestmark = pytest.mark.smoke

WHOLE = """\
server: {host: 0.0.0.0, port: 0, log_level: WARNING, shutdown_seconds: 2.5}
model:
  base_url: https://models.test/v1
  api_key_env: OPENAI_API_KEY
  timeout_seconds: 5
agent:
  tool_backend: http
  tool_http_base_url: http://tools.test
  tool_http_headers: {X-Env: staging, "X-Number": "1"}
  use_tools: false
  max_iterations: 7
  max_total_seconds: 30
  max_tools_per_iter: 2
  tool_concurrency: 1
  max_history_messages: 20
  max_history_chars: 900
  escalate_model:
traces: {store: true, path: traces.jsonl}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes `config.yaml` into the working directory, and returns its name."""
    monkeypatch.chdir(tmp_path)

    def put(text: str | bytes) -> str:
        Path("config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return "config.yaml"

    return put


def problems(path: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read_config(path)
    assert str(error.value).splitlines() == error.value.problems
    return error.value.problems


def test_a_file_says_what_the_program_does(write: Any) -> None:
    assert read_config(write(WHOLE)) == Config(
        server=Server(host="0.0.0.0", port=0, log_level="warning", shutdown_seconds=2.5),
        model=Model(base_url="https://models.test/v1", api_key_env="OPENAI_API_KEY", timeout_seconds=5.0),
        agent=Agent(
            tool_backend="http",
            tool_http_base_url="http://tools.test",
            tool_http_headers={"X-Env": "staging", "X-Number": "1"},
            use_tools=False,
            max_iterations=7,
            max_total_seconds=30.0,
            max_tools_per_iter=2,
            tool_concurrency=1,
            max_history_messages=20,
            max_history_chars=900,
        ),
        traces=Traces(store=True, path="traces.jsonl"),
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "agent:\n", "{}", "\ufeffagent: {}"])
def test_what_a_file_leaves_out_has_its_default(write: Any, text: str) -> None:
    assert read_config(write(text)) == Config()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "agent:\n  max_iterations: three",
            "2: agent.max_iterations: 'three' is not a whole number; write a number from 1 to 100",
        ),
        (
            "agent:\n\n  max_iterations: 0",
            "3: agent.max_iterations: 0 is out of bounds; write a number from 1 to 100",
        ),
        (
            "agent: {max_history_chars: true}",
            "1: agent.max_history_chars: true is not a whole number; write a number from 1 on",
        ),
        ("server: {port: 1.5}", "1: server.port: 1.5 is not a whole number; write a number from 0 to 65535"),
        (
            "server: {shutdown_seconds: soon}",
            "1: server.shutdown_seconds: 'soon' is not a number; write seconds, such as 2.5",
        ),
        (
            "agent: {max_total_seconds: -1}",
            "1: agent.max_total_seconds: -1 is no time; write seconds from 0 on",
        ),
        (
            "agent: {max_total_seconds: .nan}",
            "1: agent.max_total_seconds: nan is no time; write seconds from 0 on",
        ),
        ("agent: {use_tools: 1}", "1: agent.use_tools: 1 is neither true nor false; write one of them"),
        ("agent: {tool_backend: htpp}", "1: agent.tool_backend: 'htpp' is unknown; did you mean 'http'?"),
        (
            "agent: {tool_backend: smtp2}",
            "1: agent.tool_backend: 'smtp2' is unknown; write one of: echo, http, local",
        ),
        (
            "agent: {escalate_model: 4}",
            "1: agent.escalate_model: 4 is not a text; write one, in quotes if it looks like something else",
        ),
        ('server: {host: " "}', "1: server.host: is empty; write a text, or leave the key out"),
        ("agnet: {}", "1: agnet: unknown key; did you mean 'agent'?"),
        ("agent:\n  max_iteration: 3", "2: agent.max_iteration: unknown key; did you mean 'max_iterations'?"),
        (
            "upstreams: {}",
            "1: upstreams: unknown key; write one of: server, model, agent, traces, gateway, mcp_servers",
        ),
        (
            "agent:\n  use_tools: true\n  use_tools: true",
            "3: agent.use_tools: is given twice, first in line 2; keep one of them",
        ),
        ("agent: {}\nagent: {}", "2: agent: is given twice, first in line 1; keep one of them"),
        ("agent: [1]", "1: agent: is not a mapping; write keys with values, such as `key: value`"),
        ("- agent", "1: is not a mapping; write keys with values, such as `key: value`"),
        ("\n\nword", "3: is not a mapping; write keys with values, such as `key: value`"),
        (
            "agent: {max_total_seconds: 2001-99-99}",
            "1: agent.max_total_seconds: '2001-99-99' cannot be read as timestamp; put it in quotes",
        ),
        (
            "agent: {max_iterations: !!python/object:os.system x}",
            "1: agent.max_iterations: 'x' cannot be read as os.system; put it in quotes",
        ),
        (
            "agent:\n  tool_http_headers:\n    X-N: 1",
            "3: agent.tool_http_headers.X-N: is not a text; put the header's value in quotes",
        ),
        (
            'agent:\n  tool_http_headers:\n    X-N: "a\\nb"',
            "3: agent.tool_http_headers.X-N: has a control or non-ASCII character; "
            "write what may stand in an HTTP request",
        ),
        (
            "traces:\n  store: true",
            "2: traces.store: is true without a path; write traces.path, or set MINI_AGENT_STORE_PATH",
        ),
        (
            "agent: [",
            "1: is not valid YAML: expected the node content, but found '<stream end>'; "
            "mend the indentation, quotes or brackets there",
        ),
        (
            "a: 1\n---\nb: 1",
            "2: is not valid YAML: but found another document; "
            "mend the indentation, quotes or brackets there",
        ),
        (
            "a: *b",
            "1: is not valid YAML: found undefined alias 'b'; mend the indentation, quotes or brackets there",
        ),
        (
            "a:\n  \x01",
            "2: is not valid YAML: a character that YAML does not allow; "
            "mend the indentation, quotes or brackets there",
        ),
        (
            "[" * 5_000,
            "1: is not valid YAML: it is nested too deeply; mend the indentation, quotes or brackets there",
        ),
        (b"a: 1\nb: \xff", "2: is not UTF-8; save the file as UTF-8"),
    ],
)
def test_each_fault_is_told_with_file_line_key_and_remedy(write: Any, text: str | bytes, says: str) -> None:
    assert problems(write(text)) == [f"config.yaml:{says}"]


def test_all_faults_are_told_in_the_order_of_the_file(write: Any) -> None:
    text = "traces: 1\nserver:\n  port: x\n  hots: y\nmodel: {}\nserver: {}\n"
    assert [problem.partition(": ")[0] for problem in problems(write(text))] == [
        f"config.yaml:{line}" for line in (1, 3, 4, 6)
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [("nope.yaml", "No such file or directory"), (".", "Is a directory"), ("a\0b", "embedded null byte")],
)
def test_a_file_that_cannot_be_read_is_named(write: Any, name: str, why: str) -> None:
    write("")
    [problem] = problems(name)
    assert problem.startswith(f"{name}: cannot be read: ")
    assert why in problem
    assert problem.endswith("; name a YAML file that can")


@pytest.mark.parametrize(
    "text",
    [
        "model: {api_key_env: hunter22-key}",
        "model: {api_key: hunter22}",
        "model: hunter22",
        "model: {base_url: 'http:/me:hunter22@h'}",
        "agent: {tool_http_headers: {Authorization: [hunter22]}}",
        'agent: {tool_http_headers: {Authorization: "hunter22\\n"}}',
    ],
)
def test_what_may_be_a_secret_is_not_repeated(write: Any, text: str) -> None:
    assert "hunter22" not in "\n".join(problems(write(text)))


def test_a_key_in_the_place_of_its_variable_is_told_as_that(write: Any) -> None:
    assert problems(write("model:\n  api_key_env: sk-123")) == [
        "config.yaml:2: model.api_key_env: is not the name of an environment variable; "
        "write the name of the one that holds the key, never the key itself"
    ]


@given(text=st.text(alphabet=st.sampled_from("agent: {}[]\n-&*!|>'\"#%\t,?amodel0.")) | st.binary())
def test_whatever_stands_in_a_file_is_understood_or_told(
    text: str | bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        told = [] if isinstance(read_config(path), Config) else ["nothing was read"]
    except ConfigError as error:
        told = error.problems or ["an error that says nothing"]
    assert [line for line in told if not line.startswith(str(path))] == []


# --- who wins


def in_use(**sections: Any) -> Any:
    return config.in_use(Config(**sections))


def test_a_configuration_is_in_use_for_its_block() -> None:
    with in_use(model=Model(base_url="http://a.test")):
        with pytest.raises(KeyError), in_use(model=Model(base_url="http://b.test")):
            raise KeyError(config.current().model.base_url)
        assert config.current().model.base_url == "http://a.test"
    assert config.current() == Config()


def test_the_environment_wins_over_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", "from-other")
    with in_use(
        model=Model(base_url="http://file.test", api_key_env="OTHER_KEY"), traces=Traces(True, "file.jsonl")
    ):
        now = config.current()
        assert (now.model.base_url, now.model.api_key) == ("http://file.test", "from-other")
        assert (now.traces.store, now.traces.path) == (True, "file.jsonl")
        monkeypatch.setenv("MINI_AGENT_MODEL_BASE_URL", "http://env.test")
        monkeypatch.setenv("MINI_AGENT_MODEL_API_KEY", "from-env")
        monkeypatch.setenv("MINI_AGENT_STORE_PATH", "env.jsonl")
        now = config.current()
        assert (now.model.base_url, now.model.api_key) == ("http://env.test", "from-env")
        assert (now.traces.store, now.traces.path) == (True, "env.jsonl")
        monkeypatch.setenv("MINI_AGENT_STORE_TRACES", "0")
        assert config.current().traces.store is False


def test_a_variable_that_is_missing_is_named_as_configured(run: Any) -> None:
    with in_use(model=Model(base_url="http://file.test", api_key_env="OTHER_KEY")):
        assert run().json()["detail"] == (
            "model 'm' failed: the environment variable OTHER_KEY is not set; "
            "the agent needs it to ask a model"
        )


def test_a_request_wins_over_a_file(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[mini_agent.AgentConfig] = []

    async def spy(messages: Any, *, mcp: Any, cfg: mini_agent.AgentConfig) -> mini_agent.AgentResult:
        seen.append(cfg)
        return mini_agent.AgentResult([], None, "budget", [], mini_agent.Metrics(0, 0.0, False, None), [])

    monkeypatch.setattr(mini_agent, "arun_mcp_mini_agent", spy)
    agent = Agent(
        max_iterations=9, max_total_seconds=5.0, use_tools=True, escalate_model="big", max_history_chars=7
    )
    with in_use(agent=agent):
        run()
        run(max_iterations=3, max_total_seconds=1, use_tools=False, escalate_model=None)
    filled = {"model": "m", "max_history_chars": 7, "escalate_model": "big"}
    assert seen == [
        mini_agent.AgentConfig(max_iterations=9, max_total_seconds=5.0, use_tools=True, **filled),
        mini_agent.AgentConfig(max_iterations=3, max_total_seconds=1.0, use_tools=False, **filled),
    ]


def test_headers_are_merged_file_then_environment_then_request(
    run: Any, script_model: Any, tool_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINI_AGENT_TOOL_HTTP_HEADERS", json.dumps({"x-b": "env", "x-c": "env"}))
    script_model("Done")
    agent = Agent(
        tool_backend="http",
        tool_http_base_url=tool_server.serve(),
        tool_http_headers={"X-A": "file", "X-B": "file", "X-C": "file"},
    )
    with in_use(agent=agent):
        assert run(tool_http_headers={"X-c": "request"}).status_code == 200
    [sent] = [r.sent("x-a", "x-b", "x-c") for r in tool_server.journal]
    assert sorted(sent) == [("X-A", "file"), ("X-c", "request"), ("x-b", "env")]


def test_healthz_follows_the_configuration(send: Any) -> None:
    with in_use(model=Model(base_url="http://file.test"), traces=Traces(True, "t.jsonl")):
        expected = {"ok": True, "model_configured": True, "traces_enabled": True}
        assert send("GET", "/healthz").json() == expected
