"""An application for each interface of Python's web servers, and for three frameworks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """An application for WSGI servers."""
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An application for ASGI servers."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
    await send({"type": "http.response.body", "body": b"ok"})


def flask_app() -> Any:
    """An application of Flask, for its development server."""
    flask = import_module("flask")
    app = flask.Flask(__name__)

    def hook() -> str:
        flask.request.get_json()
        return "ok"

    app.post("/hook")(hook)
    return app


def run_django(port: int) -> None:
    """Run an application of Django in its development server."""
    settings = import_module("django.conf").settings
    urls, http = import_module("django.urls"), import_module("django.http")
    settings.configure(
        DEBUG=True, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="test", MIDDLEWARE=[]
    )
    hook = urls.path("hook", lambda request: http.HttpResponse(request.body and "ok"))
    globals()["urlpatterns"] = [hook]
    import_module("django.core.management").execute_from_command_line(
        ["manage", "runserver", "--noreload", f"127.0.0.1:{port}"]
    )


def run_aiohttp(port: int) -> None:
    """Run an application of aiohttp."""
    web = import_module("aiohttp.web")

    async def hook(request: Any) -> Any:
        await request.read()
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_post("/hook", hook)
    web.run_app(app, host="127.0.0.1", port=port, keepalive_timeout=1, print=None)


if __name__ == "__main__":
    globals()[f"run_{sys.argv[1]}"](int(sys.argv[2]))
