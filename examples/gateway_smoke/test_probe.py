"""Before the stream opens, the gateway asks pass-through upstreams whether they take the client's token."""

import pytest

from pytest_mcpsmoke import assert_overlap

pytestmark = pytest.mark.smoke
TOKEN = {"Authorization": "Bearer of-the-client"}


def passing_on(*upstreams):
    """Configure upstreams that are sent the client's own `Authorization`."""
    return {one.name: {"url": one.http(), "extra_headers": ["Authorization"]} for one in upstreams}


def test_each_server_is_asked_once_with_the_client_s_token(gateway, upstream):
    servers = docs, files = upstream("docs"), upstream("files")
    gateway(passing_on(*servers)).greet(TOKEN)
    for server in (docs, files):
        server.journal.assert_rpc("ping", times=1)
        server.journal.assert_header("Authorization", "Bearer of-the-client")


def test_all_are_asked_at_the_same_time(gateway, upstream):
    servers = [upstream(name) for name in ("docs", "files", "mail")]
    for server in servers:
        server.fault.slow(1.0, on="ping")
    gateway(passing_on(*servers)).greet(TOKEN)
    assert_overlap({server.name: server.journal.assert_one("POST") for server in servers})


def test_a_server_that_the_key_is_not_for_never_sees_the_token(gateway, upstream):
    docs, files = upstream("docs"), upstream("files")
    gateway(passing_on(docs, files)).greet(TOKEN, key="guest")
    docs.journal.assert_rpc("ping")
    files.journal.assert_no_requests()


def test_a_server_that_was_not_selected_never_sees_the_token(gateway, upstream):
    docs, files = upstream("docs"), upstream("files")
    gateway(passing_on(docs, files)).greet({**TOKEN, "x-mcp-servers": "docs"})
    docs.journal.assert_rpc("ping")
    files.journal.assert_no_requests()


def test_nobody_is_asked_with_the_gateway_s_own_key(gateway, upstream):
    docs = upstream("docs")
    gateway(passing_on(docs)).greet({"Authorization": "Bearer sk-of-ops"})
    docs.journal.assert_no_requests()


def test_an_expired_token_is_401_with_the_server_s_challenge(gateway, upstream):
    docs = upstream("docs")
    docs.tokens(good="valid", expired="old")
    answer = gateway(passing_on(docs)).greet({"Authorization": "Bearer old"})
    assert answer.status_code == 401, f"docs answered the token with 401, the client got {answer.status_code}"
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_token_without_the_right_is_403_without_a_challenge(gateway, upstream):
    docs = upstream("docs")
    docs.tokens(good="valid", forbidden="of-a-guest")
    answer = gateway(passing_on(docs)).greet({"Authorization": "Bearer of-a-guest"})
    assert answer.status_code == 403, f"docs answered the token with 403, the client got {answer.status_code}"
    assert "WWW-Authenticate" not in answer.headers


def test_a_server_that_is_down_stops_nobody(gateway, upstream):
    docs = upstream("docs")
    docs.fault(status=503, on="ping")
    answer = gateway(passing_on(docs)).greet(TOKEN)
    assert answer.status_code == 200, f"docs is down, and the client got {answer.status_code}"
