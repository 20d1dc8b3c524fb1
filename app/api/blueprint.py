"""flask-smorest, typed and with our rules: how routes are declared and described."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask_smorest import Api, Blueprint  # type: ignore[import-untyped]
from flask_smorest.spec.plugins import FlaskPlugin  # type: ignore[import-untyped]
from marshmallow import Schema

from app.api.body import BodyParser
from app.api.errors import ErrorSchema
from app.api.runtime import PREFIX

View = TypeVar("View", bound=Callable[..., Any])


class ApiBlueprint(Blueprint):  # type: ignore[misc]
    """A group of calls. Views return ready responses: the schemas of `response` describe, they do not convert."""

    ARGUMENTS_PARSER = BodyParser()

    def call(self, method: str, path: str, **options: Any) -> Callable[[View], View]:
        """Declare one call."""
        decorate: Callable[[View], View] = self.route(path, methods=[method], **options)
        return decorate

    def takes(self, schema: type[Schema], *, location: str = "json") -> Callable[[View], View]:
        """Read body or query string into the view's next positional argument."""
        decorate: Callable[[View], View] = self.arguments(schema, location=location)
        return decorate

    def gives(self, schema: Any, *, text: str, headers: dict[str, Any] | None = None) -> Callable[[View], View]:
        """Describe the answer with status 200."""
        decorate: Callable[[View], View] = self.response(200, schema, description=text, headers=headers)
        return decorate

    def describe(self, **manual: Any) -> Callable[[View], View]:
        """Add to the OpenAPI description of the view."""
        decorate: Callable[[View], View] = self.doc(**manual)
        return decorate


class _RelativePaths(FlaskPlugin):  # type: ignore[misc]
    """Paths in the document are relative to its server, which carries the prefix."""

    def path_helper(self, rule: Any, operations: Any, parameters: Any, **options: Any) -> str:
        path: str = super().path_helper(rule, operations, parameters, **options)
        return path.removeprefix(PREFIX)


class ApiDocument(Api):  # type: ignore[misc]
    """Collects the OpenAPI document. Errors are answered by app.api.errors, not by flask-smorest."""

    ERROR_SCHEMA = ErrorSchema

    def _register_error_handlers(self) -> None:
        pass


def make_document(version: str) -> ApiDocument:
    """An empty document."""
    return ApiDocument(
        spec_kwargs={
            "title": "Haulage",
            "version": version,
            "openapi_version": "3.1.0",
            "flask_plugin": _RelativePaths(),
            "servers": [{"url": PREFIX}],
            "info": {"description": _DESCRIPTION},
            "security": [{"secrets": []}],
        }
    )


_DESCRIPTION = (
    "Moves records in bulk between any vendor's REST API and files, compatible with the Bulk service of SAP Open "
    "Connectors. Every `/bulk` path exists a second time below `/hubs/{hub}`. Every answer carries "
    "`Elements-Request-Id`; lists are paged by `pageSize` and `nextPage`, with the next token in "
    "`elements-next-page-token`, which the last page does not have."
)
SECURITY_SCHEME = {
    "type": "apiKey",
    "in": "header",
    "name": "Authorization",
    "description": "`User <secret>, Organization <secret>, Element <token>`. Calls about instances and elements need "
    "User and Organization, bulk calls need User and Element.",
}
