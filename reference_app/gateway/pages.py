"""The gateway's public pages."""

from __future__ import annotations

from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

UI_PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>reference gateway</title></head>
<body>
<h1>reference gateway</h1>
<p>MCP clients connect to <code>/mcp</code>; the catalogue is at <code>/mcp/tools</code>. Both need a key.</p>
<p><a href="/docs">The HTTP routes</a></p>
</body>
</html>
"""


async def ui() -> str:
    """Returns a page that says where things are; it is public, so it says nothing of what is configured."""
    return UI_PAGE


async def swagger() -> HTMLResponse:
    """Returns the same as `/docs`."""
    return get_swagger_ui_html(openapi_url="/openapi.json", title="reference gateway")
