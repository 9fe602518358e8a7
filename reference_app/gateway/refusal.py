"""A request that is refused with an HTTP status, also from within a handler of the protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from reference_app.tool_calls import wire_text


class HttpRefusal(Exception):
    """The request is answered with this status; `headers` may hold a name more than once."""

    def __init__(self, status: int, detail: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = list(headers)

    @classmethod
    def of(cls, error: HTTPException) -> HttpRefusal:
        """Returns what FastAPI's own exception asks for."""
        return cls(error.status_code, str(error.detail), list((error.headers or {}).items()))

    def response(self, shaped: Callable[[int, str], JSONResponse] | None = None) -> JSONResponse:
        """Returns the answer, in the shape of the app's other errors or as a function shapes it."""
        response = (shaped or _with_detail)(self.status, self.detail)
        for name, value in self.headers:
            response.raw_headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))
        return response


def _with_detail(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": wire_text(detail)}, status_code=status)
