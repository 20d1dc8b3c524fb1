"""The HTTP door: `create_app` builds the WSGI application. `gunicorn 'app.api.wsgi:create_app()'`."""

from __future__ import annotations

from flask import Flask

from app.api import (
    bulk,
    callbacks,
    documentation,
    elements,
    errors,
    hooks,
    instances,
    operations,
    schedules,
    workflows,
)
from app.api.runtime import EXTENSION, PREFIX
from app.bootstrap import build_context, product_version
from app.logs import configure_logs
from app.services.context import Context
from app.services.health import HealthCheck

POOL_SIZE = 16
"""Connections to PostgreSQL a process: about as many as threads that work at once."""


def create_app(ctx: Context | None = None) -> Flask:
    """The application. Without a context one is built from the environment, after forking, as pools need it."""
    if ctx is None:
        ctx = build_context(pool_size=POOL_SIZE)
        configure_logs(log_format=ctx.settings.log_format, level=ctx.settings.log_level, process="web")
    app = make_routes()
    use_context(app, ctx)
    return app


def make_routes() -> Flask:
    """The application without a context. It takes 50 ms to make, and may be given one context after the other."""
    app = Flask("haulage", static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.converters["object"] = bulk.ObjectNameConverter
    app.url_map.converters["target"] = bulk.TargetConverter
    errors.register(app)
    hooks.register(app)
    _register_blueprints(app)
    return app


def use_context(app: Flask, ctx: Context) -> None:
    """What the application knows of its context, from now on."""
    app.config["MAX_CONTENT_LENGTH"] = ctx.settings.max_body_bytes
    app.config["MAX_FORM_MEMORY_SIZE"] = ctx.settings.max_body_bytes
    app.extensions[EXTENSION] = ctx
    app.extensions[operations.HEALTH] = HealthCheck(ctx)


def _register_blueprints(app: Flask) -> None:
    document = documentation.begin(app, product_version())
    of_an_instance = (bulk.blueprint, callbacks.blueprint, schedules.blueprint, workflows.blueprint)
    for blueprint in (*of_an_instance, instances.blueprint, elements.blueprint):
        document.register_blueprint(blueprint, url_prefix=PREFIX)
    # Not a second time in the document, which says so in words.
    for blueprint in of_an_instance:
        app.register_blueprint(blueprint, name=f"hub_{blueprint.name}", url_prefix=f"{PREFIX}/hubs/<hub>")
    app.register_blueprint(operations.blueprint)
    app.register_blueprint(documentation.blueprint)
