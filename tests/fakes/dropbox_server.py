"""A fake of Dropbox's API version 2, as its reference documents it: upload sessions, metadata, download, delete.

It holds callers to: the bearer token and its permissions, offsets, at most 150 MiB a call, content hashes, write modes
with `strict_conflict`, paths that begin with a slash. Names are not sensitive to case. Refusals are 409 with a tagged
union, and 401 for credentials.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes.file_host import Answer, Asked, FileHost, RefusedError

TOKEN = "token-of-an-hour"
REFRESH_TOKEN = "refresh-for-good"
APP_KEY, APP_SECRET = "the-app", "the-app-secret"
SCOPES = {"files.content.write", "files.content.read", "files.metadata.read"}
_MOST_BYTES = 150 * 1024 * 1024
_BLOCK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class File:
    path: str
    """As it was spelled."""
    content: Path
    rev: str


@dataclass
class Session:
    content: Path
    length: int = 0
    is_closed: bool = False


class DropboxServer(FileHost):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.files: dict[str, File] = {}
        self.sessions: dict[str, Session] = {}
        self.scopes = set(SCOPES)
        self.is_expired = False
        """The access token is, until somebody asks for a new one."""
        self.room = 1 << 50
        self.namespaces = {"1", "77"}
        self.members = {"dbmid:one"}

    def put(self, path: str, content: bytes) -> None:
        self._number += 1
        self.files[path.lower()] = File(path, self.new_file(content), f"{self._number:015x}")

    def read(self, path: str) -> bytes | None:
        found = self.files.get(path.lower())
        return None if found is None else found.content.read_bytes()

    def serve(self, asked: Asked) -> Answer:
        if asked.path == "/oauth2/token":
            return self._token(dict(parse_qsl(asked.body.decode())))
        routes: dict[str, tuple[str, Callable[[Any, bytes], Answer]]] = {
            "/2/files/upload_session/start": ("files.content.write", self._start),
            "/2/files/upload_session/append_v2": ("files.content.write", self._append),
            "/2/files/upload_session/finish": ("files.content.write", self._finish),
            "/2/files/get_metadata": ("files.metadata.read", self._get_metadata),
            "/2/files/download": ("files.content.read", self._download),
            "/2/files/delete_v2": ("files.content.write", self._delete),
        }
        scope, route = routes[asked.path]
        self._check_caller(asked, scope)
        argument = asked.headers.get("dropbox-api-arg")
        given = json.loads(argument) if argument is not None else asked.document
        if len(asked.body) > _MOST_BYTES:
            raise _refused({".tag": "payload_too_large"})
        if given.get("content_hash") not in {None, content_hash(asked.body)}:
            raise _refused({".tag": "content_hash_mismatch"})
        return route(given, asked.body)

    def _token(self, form: dict[str, str]) -> Answer:
        if form.get("client_id") != APP_KEY or form.get("client_secret") != APP_SECRET:
            return Answer.of({"error": "invalid_client: Invalid client_id or client_secret"}, 400)
        if form["refresh_token"] != REFRESH_TOKEN:
            return Answer.of({"error": "invalid_grant", "error_description": "refresh token is invalid"}, 400)
        self.is_expired = False
        return Answer.of({"access_token": TOKEN, "expires_in": 14400, "token_type": "bearer"})

    def _check_caller(self, asked: Asked, scope: str) -> None:
        # The real one repeats a malformed header in a text, and so does this one.
        authorization = asked.headers.get("authorization", "")
        if not authorization.startswith("Bearer "):
            raise RefusedError(Answer(400, f'Invalid authorization value: "{authorization}"'.encode()))
        if authorization != f"Bearer {TOKEN}":
            raise RefusedError(_unauthorized({".tag": "invalid_access_token"}))
        if self.is_expired:
            raise RefusedError(_unauthorized({".tag": "expired_access_token"}))
        if scope not in self.scopes:
            raise RefusedError(_unauthorized({".tag": "missing_scope", "required_scope": scope}))
        if asked.headers.get("dropbox-api-select-user", "dbmid:one") not in self.members:
            raise RefusedError(_unauthorized({".tag": "invalid_select_user"}))
        root = json.loads(asked.headers.get("dropbox-api-path-root", '{"namespace_id": "1"}'))
        if root["namespace_id"] not in self.namespaces:
            raise RefusedError(Answer.of({"error_summary": "no_permission/", "error": {".tag": "no_permission"}}, 422))

    def _start(self, given: Any, body: bytes) -> Answer:
        self._number += 1
        name = f"pid_upload_session:{self._number}"
        self.sessions[name] = Session(self.new_file(body), len(body), given.get("close", False))
        return Answer.of({"session_id": name})

    def _append(self, given: Any, body: bytes) -> Answer:
        session = self._session(given["cursor"], lambda error: error)
        with session.content.open("ab") as file:
            file.write(body)
        session.length += len(body)
        session.is_closed = given.get("close", False)
        return Answer.of(None)

    def _finish(self, given: Any, body: bytes) -> Answer:
        session = self._session(given["cursor"], lambda error: {".tag": "lookup_failed", "lookup_failed": error})
        with session.content.open("ab") as file:
            file.write(body)
        session.length += len(body)
        self._check_commit(given["commit"], session.length)
        path = given["commit"]["path"]
        self._number += 1
        self.files[path.lower()] = File(path, session.content, f"{self._number:015x}")
        del self.sessions[given["cursor"]["session_id"]]
        return Answer.of(_metadata(self.files[path.lower()]))

    def _session(self, cursor: Any, shaped: Callable[[Any], Any]) -> Session:
        session = self.sessions.get(cursor["session_id"])
        if session is None:
            raise _refused(shaped({".tag": "not_found"}))
        if session.is_closed:
            raise _refused(shaped({".tag": "closed"}))
        if cursor["offset"] != session.length:
            raise _refused(shaped({".tag": "incorrect_offset", "correct_offset": session.length}))
        return session

    def _check_commit(self, commit: Any, length: int) -> None:
        path, mode = commit["path"], commit["mode"]
        if not path.startswith("/") or "//" in path:
            raise _refused_path({".tag": "malformed_path"})
        # Anything else would be renamed, or pass over a conflict with what has the same content.
        assert (commit["autorename"], commit["strict_conflict"]) == (False, True)
        if any(each.startswith(f"{path.lower()}/") for each in self.files):
            raise _refused_path({".tag": "conflict", "conflict": {".tag": "folder"}})
        if any(path.lower().startswith(f"{each}/") for each in self.files):
            raise _refused_path({".tag": "conflict", "conflict": {".tag": "file_ancestor"}})
        found = self.files.get(path.lower())
        tag = mode if isinstance(mode, str) else mode[".tag"]
        wanted = mode["update"] if tag == "update" else None
        if tag not in {"add", "update"} or wanted != (found.rev if found else None):
            raise _refused_path({".tag": "conflict", "conflict": {".tag": "file"}})
        if length > self.room:
            raise _refused_path({".tag": "insufficient_space"})

    def _get_metadata(self, given: Any, _: bytes) -> Answer:
        path = given["path"]
        if any(each.startswith(f"{path.lower()}/") for each in self.files):
            return Answer.of({".tag": "folder", "name": path.rpartition("/")[2], "id": "id:folder"})
        return Answer.of({".tag": "file", **_metadata(self._file(path))})

    def _download(self, given: Any, _: bytes) -> Answer:
        found = self._file(given["path"])
        return Answer(200, found.content.read_bytes(), {"Dropbox-API-Result": json.dumps(_metadata(found))})

    def _delete(self, given: Any, _: bytes) -> Answer:
        try:
            found = self._file(given["path"])
        except RefusedError:
            raise _refused({".tag": "path_lookup", "path_lookup": {".tag": "not_found"}}) from None
        del self.files[given["path"].lower()]
        return Answer.of({"metadata": {".tag": "file", **_metadata(found)}})

    def _file(self, path: str) -> File:
        found = self.files.get(path.lower())
        if found is None:
            raise _refused_path({".tag": "not_found"})
        return found


def content_hash(content: bytes) -> str:
    """The SHA-256 of the SHA-256s of blocks of 4 MiB."""
    blocks = (content[start : start + _BLOCK_BYTES] for start in range(0, len(content), _BLOCK_BYTES))
    return hashlib.sha256(b"".join(hashlib.sha256(block).digest() for block in blocks)).hexdigest()


def _metadata(file: File) -> dict[str, Any]:
    return {
        "name": file.path.rpartition("/")[2],
        "id": f"id:{file.rev}aaaaaaa",
        "client_modified": "2026-11-22T10:00:00Z",
        "server_modified": "2026-11-22T10:00:00Z",
        "rev": file.rev,
        "size": file.content.stat().st_size,
        "path_lower": file.path.lower(),
        "path_display": file.path,
        "is_downloadable": True,
        "content_hash": content_hash(file.content.read_bytes()),
    }


def _refused(error: Any) -> RefusedError:
    return RefusedError(Answer.of({"error_summary": f"{error['.tag']}/..", "error": error}, 409))


def _refused_path(error: Any) -> RefusedError:
    return _refused({".tag": "path", "path": error})


def _unauthorized(error: Any) -> Answer:
    return Answer.of({"error_summary": f"{error['.tag']}/..", "error": error}, 401)
