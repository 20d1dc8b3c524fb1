"""Instances and elements as JSON (reference 8)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.connectors.model import SettingField
from app.db.connectors import StoredConnector
from app.services.elements import connector_of
from app.services.instances import Shown

_NEVER_NATIVE = {
    "ceSupportNativeBulkUpload": False,
    "ceSupportNativeBulkDownload": False,
    "vendorSupportNativeBulkDownload": False,
    "vendorSupportNativeBulkUpload": False,
}


def instance_document(shown: Shown) -> dict[str, Any]:
    """One instance. Caching, events and tracing are the vendor's features that this service has not."""
    instance = shown.instance
    return {
        "id": instance.id,
        "name": instance.name,
        "createdDate": _iso(instance.created_at),
        "updatedDate": _iso(instance.updated_at),
        "token": shown.token,
        "element": {
            "id": instance.connector_id,
            "key": instance.connector_key,
            "name": instance.connector_name or instance.connector_key,
            "hub": instance.connector_hub or "general",
        },
        "elementId": instance.connector_id,
        "tags": instance.tags,
        "provisionInteractions": [],
        "valid": shown.is_valid,
        "disabled": instance.disabled_at is not None,
        "maxCacheSize": 0,
        "cacheTimeToLive": 0,
        "configuration": shown.configuration,
        "eventsEnabled": False,
        "traceLoggingEnabled": False,
        "cachingEnabled": False,
        "externalAuthentication": "none",
        "user": {},
    }


def element_document(stored: StoredConnector, *, with_declaration: bool) -> dict[str, Any]:
    """One element."""
    connector = connector_of(stored.revision_id, stored.digest, stored.document)
    document = {
        "id": stored.id,
        "key": stored.key,
        "name": connector.name,
        "hub": connector.hub,
        "active": True,
        "private": stored.organisation_id is not None,
        "revision": stored.revision,
        "createdDate": _iso(stored.created_at),
        "updatedDate": _iso(stored.updated_at),
        "objects": list(connector.object_names),
        "configuration": [_setting(each) for each in connector.settings],
        "bulk": {
            "download": any(each.is_listed and each.is_downloadable for each in connector.objects),
            "upload": any(each.writes.actions for each in connector.objects),
            **_NEVER_NATIVE,
        },
    }
    return {**document, "declaration": stored.document} if with_declaration else document


def _setting(setting: SettingField) -> dict[str, Any]:
    return {
        "key": setting.name,
        "name": setting.label or setting.name,
        "type": "PASSWORD" if setting.is_secret else "TEXTFIELD",
        "required": setting.is_required and setting.default is None,
        "active": True,
        "defaultValue": None if setting.is_secret else setting.default,
        "options": list(setting.enum),
    }


def _iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
