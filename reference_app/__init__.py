"""The realistic program under test: a FastAPI agent proxy whose smoke suite pytest-mcpsmoke looks after.

`agent_proxy` serves the routes, `mini_agent` runs the loop, `http_tools_invoker` calls a tool server over
HTTP, and `stochastic_model` is a real, non-deterministic model to talk to over a socket.
"""
