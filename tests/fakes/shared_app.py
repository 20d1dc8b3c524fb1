"""The HTTP application for one test after the other: its routes are made once a process."""

from functools import cache

from flask import Flask

from app.api.wsgi import make_routes, use_context
from app.services.context import Context

_routes = cache(make_routes)


def app_with(ctx: Context) -> Flask:
    """What `create_app` gives. A test that needs two at once makes its own."""
    app = _routes()
    use_context(app, ctx)
    return app
