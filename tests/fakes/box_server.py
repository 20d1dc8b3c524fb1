"""A fake of Box's API, as its reference documents it: folders, the check before uploads, uploads, upload sessions.

It holds callers to: the bearer token, unique names in a folder whatever their case, the least length of files for
sessions (20 MB), parts of exactly the length it says, each sent once with its SHA-1, the SHA-1 of the whole, If-Match.
A session's endpoints have another host than the rest, as the real ones may.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from tests.fakes.file_host import Answer, Asked, FileHost, RefusedError

TOKEN = "token-of-an-hour"
CLIENT_ID, CLIENT_SECRET = "the-client", "the-client-secret"
ENTERPRISE_ID, USER_ID = "1001", "2002"
ROOT = "11446498"
PART_BYTES = 8 * 1024 * 1024
LEAST_BYTES = 20_000_000
_HOST = "https://fupload-eu.app.box.com"
Kept = TypeVar("Kept")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass
class Folder:
    id: str
    name: str
    parent_id: str


@dataclass
class File:
    id: str
    name: str
    parent_id: str
    content: Path
    sha1: str
    etag: int = 0


@dataclass
class Session:
    id: str
    size: int
    content: Path
    file_id: str | None = None
    folder_id: str = ""
    name: str = ""
    parts: dict[int, dict[str, Any]] = field(default_factory=dict)


class BoxServer(FileHost):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folders = {ROOT: Folder(ROOT, "shared", "0")}
        self.files: dict[str, File] = {}
        self.sessions: dict[str, Session] = {}
        self.good_tokens = {TOKEN}
        self.token_count = 0
        self.is_read_only = False
        self.room = 1 << 50
        self.host = _HOST
        self.part_bytes = PART_BYTES
        self.unready_commits = 0
        """So many commits are answered with 202."""

    # Eyes of tests

    def put(self, path: str, content: bytes) -> None:
        *folders, name = path.split("/")
        parent = ROOT
        for each in folders:
            found = self._named(parent, each)
            parent = found.id if found is not None else self._add_folder(parent, each).id
        old = self._named(parent, name)
        if isinstance(old, File):
            self._replace(old, self.new_file(content))
        else:
            self._add_file(parent, name, self.new_file(content))

    def path(self, item: File | Folder) -> str:
        above = self.folders[item.parent_id]
        return item.name if above.id == ROOT else f"{self.path(above)}/{item.name}"

    def find(self, path: str) -> File | None:
        return next((each for each in self.files.values() if self.path(each) == path), None)

    # The protocol

    def serve(self, asked: Asked) -> Answer:
        path = asked.path.removeprefix("/api")
        if path == "/oauth2/token":
            return self._token(dict(parse_qsl(asked.body.decode())))
        self._check_caller(asked)
        routes: dict[str, Callable[..., Answer]] = {
            r"POST /2\.0/folders": self._make_folder,
            r"OPTIONS /2\.0/files/content": self._preflight,
            r"POST /2\.0/files/content": self._upload,
            r"POST /2\.0/files/(\w+)/content": self._upload_version,
            r"GET /2\.0/files/(\w+)/content": self._download,
            r"DELETE /2\.0/files/(\w+)": self._delete,
            r"POST /2\.0/files/upload_sessions": self._begin,
            r"POST /2\.0/files/(\w+)/upload_sessions": self._begin_version,
            r"PUT /2\.0/files/upload_sessions/(\w+)": self._put_part,
            r"GET /2\.0/files/upload_sessions/(\w+)/parts": self._list_parts,
            r"POST /2\.0/files/upload_sessions/(\w+)/commit": self._commit,
            r"DELETE /2\.0/files/upload_sessions/(\w+)": self._abort,
            r"GET /downloads/(\w+)": self._download_content,
        }
        for pattern, route in routes.items():
            match = re.fullmatch(pattern, f"{asked.method} {path}")
            if match:
                return route(asked, *match.groups())
        raise AssertionError(f"{asked.method} {asked.path} is not documented")

    def _token(self, form: Mapping[str, str]) -> Answer:
        subject = (form.get("box_subject_type"), form.get("box_subject_id"))
        if (form["client_id"], form["client_secret"]) != (CLIENT_ID, CLIENT_SECRET):
            return Answer.of(
                {"error": "invalid_client", "error_description": "The client credentials are invalid"}, 400
            )
        if subject not in {("enterprise", ENTERPRISE_ID), ("user", USER_ID)}:
            return Answer.of({"error": "invalid_grant", "error_description": "Grant credentials are invalid"}, 400)
        self.token_count += 1
        token = f"{TOKEN}-{self.token_count}"
        self.good_tokens.add(token)
        return Answer.of({"access_token": token, "expires_in": 3600, "token_type": "bearer"})

    def _check_caller(self, asked: Asked) -> None:
        if asked.path.startswith("/downloads/"):
            assert "authorization" not in asked.headers, "the token was sent to the host of downloads"
            return
        if asked.headers.get("authorization", "").removeprefix("Bearer ") not in self.good_tokens:
            challenge = (
                'Bearer realm="Service", error="invalid_token", error_description="The access token is invalid."'
            )
            raise RefusedError(Answer(401, b"", {"WWW-Authenticate": challenge}))
        if self.is_read_only and asked.method != "GET":
            raise _refused(403, "access_denied_insufficient_permissions")

    def _make_folder(self, asked: Asked) -> Answer:
        name, parent = asked.document["name"], self._parent(asked.document["parent"]["id"])
        self._check_free(parent.id, name, as_list=True)
        return Answer.of(_shown(self._add_folder(parent.id, name)), 201)

    def _preflight(self, asked: Asked) -> Answer:
        given = asked.document
        self._check_free(self._parent(given["parent"]["id"]).id, given["name"])
        self._check_room(given["size"])
        return Answer.of({"upload_url": "https://upload.box.com/api/2.0/files/content", "upload_token": None})

    def _upload(self, asked: Asked) -> Answer:
        attributes, content = _form(asked)
        parent = self._parent(attributes["parent"]["id"])
        self._check_free(parent.id, attributes["name"])
        made = self._add_file(parent.id, attributes["name"], self.new_file(self._checked(asked, content)))
        return Answer.of({"total_count": 1, "entries": [_shown(made)]}, 201)

    def _upload_version(self, asked: Asked, file_id: str) -> Answer:
        _, content = _form(asked)
        old = self._file(file_id)
        _check_match(asked, old)
        self._replace(old, self.new_file(self._checked(asked, content)))
        return Answer.of({"total_count": 1, "entries": [_shown(old)]}, 201)

    def _checked(self, asked: Asked, content: bytes) -> bytes:
        if asked.headers["content-md5"] != hashlib.sha1(content).hexdigest():
            raise _refused(400, "bad_digest")
        self._check_room(len(content))
        return content

    def _download(self, _: Asked, file_id: str) -> Answer:
        return Answer(302, b"", {"Location": f"https://dl.boxcloud.com/downloads/{self._file(file_id).id}"})

    def _download_content(self, _: Asked, file_id: str) -> Answer:
        return Answer(200, self._file(file_id).content.read_bytes())

    def _delete(self, _: Asked, file_id: str) -> Answer:
        del self.files[self._file(file_id).id]
        return Answer(204)

    def _begin(self, asked: Asked) -> Answer:
        given = asked.document
        folder = self._parent(given["folder_id"])
        self._check_free(folder.id, given["file_name"])
        return self._add_session(given["file_size"], folder_id=folder.id, name=given["file_name"])

    def _begin_version(self, asked: Asked, file_id: str) -> Answer:
        return self._add_session(asked.document["file_size"], file_id=self._file(file_id).id)

    def _add_session(self, size: int, **target: Any) -> Answer:
        if size < LEAST_BYTES:
            raise _refused(400, "file_size_too_small")
        self._check_room(size)
        session = Session(self._new_id("F"), size, self.new_file(), **target)
        self.sessions[session.id] = session
        base = f"{self.host}/api/2.0/files/upload_sessions/{session.id}"
        endpoints = {
            "upload_part": base,
            "commit": f"{base}/commit",
            "abort": base,
            "list_parts": f"{base}/parts",
            "status": base,
            "log_event": f"{base}/log",
        }
        shown = {
            "id": session.id,
            "type": "upload_session",
            "session_expires_at": "2026-11-29T10:53:43-08:00",
            "part_size": self.part_bytes,
            "total_parts": -(-size // self.part_bytes),
            "num_parts_processed": 0,
            "session_endpoints": endpoints,
        }
        return Answer.of(shown, 201)

    def _put_part(self, asked: Asked, session_id: str) -> Answer:
        session = self._session(session_id)
        match = _RANGE.fullmatch(asked.headers["content-range"])
        assert match
        first, last, size = map(int, match.groups())
        if (
            size != session.size
            or first % self.part_bytes
            or last != min(first + self.part_bytes, size) - 1
            or len(asked.body) != last - first + 1
        ):
            raise _refused(400, "invalid_part_range")
        if first in session.parts:
            raise _refused(409, "part_already_uploaded")
        if asked.headers["digest"] != _digest(hashlib.sha1(asked.body).digest()):
            raise _refused(412, "part_digest_mismatch")
        with session.content.open("r+b") as file:
            file.seek(first)
            file.write(asked.body)
        part = {"part_id": self._new_id("B"), "offset": first, "size": len(asked.body)}
        session.parts[first] = {**part, "sha1": hashlib.sha1(asked.body).hexdigest()}
        return Answer.of({"part": session.parts[first]})

    def _list_parts(self, asked: Asked, session_id: str) -> Answer:
        parts = list(self._session(session_id).parts.values())
        offset, limit = int(asked.query.get("offset", 0)), int(asked.query.get("limit", 100))
        shown = parts[offset : offset + limit]
        return Answer.of({"entries": shown, "offset": offset, "limit": limit, "total_count": len(parts)})

    def _commit(self, asked: Asked, session_id: str) -> Answer:
        session = self._session(session_id)
        if self.unready_commits:
            self.unready_commits -= 1
            return Answer(202, b"", {"Retry-After": "0"})
        if asked.document["parts"] != list(session.parts.values()):
            raise _refused(400, "parts_mismatch")
        content = session.content.read_bytes()
        if len(content) != session.size or asked.headers["digest"] != _digest(hashlib.sha1(content).digest()):
            raise _refused(400, "file_digest_mismatch")
        if session.file_id is None:
            self._check_free(session.folder_id, session.name)
            made = self._add_file(session.folder_id, session.name, session.content)
        else:
            made = self._file(session.file_id)
            _check_match(asked, made)
            self._replace(made, session.content)
        del self.sessions[session_id]
        return Answer.of({"total_count": 1, "entries": [_shown(made)]}, 201)

    def _abort(self, _: Asked, session_id: str) -> Answer:
        del self.sessions[self._session(session_id).id]
        return Answer(204)

    # What it keeps

    def _add_folder(self, parent_id: str, name: str) -> Folder:
        made = Folder(self._new_id("1"), name, parent_id)
        self.folders[made.id] = made
        return made

    def _add_file(self, parent_id: str, name: str, content: Path) -> File:
        made = File(self._new_id("9"), name, parent_id, content, hashlib.sha1(content.read_bytes()).hexdigest())
        self.files[made.id] = made
        return made

    def _replace(self, file: File, content: Path) -> None:
        file.content = content
        file.sha1 = hashlib.sha1(content.read_bytes()).hexdigest()
        file.etag += 1

    def _new_id(self, first: str) -> str:
        self._number += 1
        return f"{first}{self._number}"

    def _named(self, parent_id: str, name: str) -> File | Folder | None:
        items: list[File | Folder] = [*self.files.values(), *self.folders.values()]
        wanted = (parent_id, name.lower())
        return next((each for each in items if (each.parent_id, each.name.lower()) == wanted), None)

    def _check_free(self, parent_id: str, name: str, *, as_list: bool = False) -> None:
        found = self._named(parent_id, name)
        if found is not None:
            shown = _shown(found)
            raise _refused(409, "item_name_in_use", conflicts=[shown] if as_list else shown)

    def _check_room(self, size: int) -> None:
        if size > self.room:
            raise _refused(403, "storage_limit_exceeded")

    def _parent(self, folder_id: str) -> Folder:
        return _existing(self.folders.get(folder_id))

    def _file(self, file_id: str) -> File:
        return _existing(self.files.get(file_id))

    def _session(self, session_id: str) -> Session:
        return _existing(self.sessions.get(session_id))


def _existing(found: Kept | None) -> Kept:
    if found is None:
        raise _refused(404, "not_found")
    return found


def _check_match(asked: Asked, file: File) -> None:
    if asked.headers.get("if-match", str(file.etag)) != str(file.etag):
        raise _refused(412, "precondition_failed")


def _form(asked: Asked) -> tuple[Any, bytes]:
    """Attributes and content of a multipart body, in this order."""
    boundary = asked.headers["content-type"].partition("boundary=")[2].encode()
    _, attributes, content, end = asked.body.split(b"--" + boundary)
    assert b'name="attributes"' in attributes
    assert b'name="file"' in content
    assert end == b"--\r\n"
    return json.loads(attributes.partition(b"\r\n\r\n")[2]), content.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")


def _shown(item: File | Folder) -> dict[str, Any]:
    if isinstance(item, Folder):
        return {"type": "folder", "id": item.id, "etag": "0", "name": item.name}
    return {"type": "file", "id": item.id, "etag": str(item.etag), "name": item.name, "sha1": item.sha1}


def _refused(status: int, code: str, **context: Any) -> RefusedError:
    document = {"type": "error", "status": status, "code": code, "message": code, "context_info": context}
    return RefusedError(Answer.of(document, status))


def _digest(sha1: bytes) -> str:
    return f"sha={base64.b64encode(sha1).decode()}"
