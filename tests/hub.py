"""A local hub on the loopback, and the cache that a real one would have left behind.

Serves what huggingface_hub and datasets ask for, with faults on demand, and takes uploads. It never
leaves 127.0.0.1.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef" * 2 + "01234567"
OLD = "fedcba9876543210" * 2 + "fedcba98"
LFS = (".safetensors", ".npz", ".pt", ".parquet", ".bin")  # files whose sha256 a real hub publishes


class Fault(NamedTuple):
    """How the hub answers once: a status, or what it does to the body of a good answer."""

    status: int = 200
    headers: Mapping[str, str] = {}
    body: str = "whole"  # whole, half (the connection is dropped), flipped (one byte)


class Hub:
    """Repositories as {(kind, id): {revision: folder}}; ``faults`` are used up by requests that start and end so."""

    def __init__(self, uploads: Path | None = None) -> None:
        self.uploads = uploads  # folder for what is pushed
        self.repos: dict[tuple[str, str], dict[str, Path]] = {}
        self.main: dict[tuple[str, str], str] = {}
        self.revisions: dict[tuple[str, str], dict[str, str]] = {}  # names other than main, with their commits
        self.gated: set[str] = set()
        self.aliases: dict[str, str] = {}
        self.faults: dict[tuple[str, str], list[Fault]] = {}  # by (method, end of path)
        self.log: list[str] = []
        self.tokens: list[str] = []
        self.url = ""
        self.created: list[dict[str, Any]] = []  # what create_repo was asked for
        self.stored: dict[str, bytes] = {}  # large files by sha256, until a commit names them

    def add(self, repo: str, folder: Path, kind: str = "models", commit: str = COMMIT) -> None:
        """Serve ``folder`` as ``repo`` at ``commit``, which becomes ``main``."""
        self.repos.setdefault((kind, repo), {})[commit] = folder
        self.main[kind, repo] = commit

    @contextmanager
    def serve(self) -> Iterator["Hub"]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": self}))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


def nobodys() -> dict[str, str]:
    """The environment without what whoever runs the tests has told the hub's libraries: token, cache, offline."""
    return {k: v for k, v in os.environ.items() if not k.startswith("HF_") and k != "HUGGING_FACE_HUB_TOKEN"}


def environment(home: Path, hub: Hub | None = None) -> dict[str, str]:
    """For a subprocess: this cache, this hub, or no network at all."""
    own = {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
    where = {"HF_HUB_OFFLINE": "1"} if hub is None else {"HF_ENDPOINT": hub.url}
    return {**nobodys(), **own, **where}


def seed_cache(
    home: Path, repo: str, folder: Path, kind: str = "models", revision: str = "main", commit: str = COMMIT
) -> None:
    """Put ``folder`` into the cache below ``home`` as a finished download of ``repo`` would be."""
    base = home / "hub" / f"{kind}--{repo.replace('/', '--')}"
    (base / "refs" / revision).parent.mkdir(parents=True, exist_ok=True)
    (base / "refs" / revision).write_text(commit)
    for path in folder.rglob("*"):
        if path.is_file():
            target = base / "snapshots" / commit / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.hardlink_to(path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = urlsplit(self.path).path  # still quoted: revisions such as refs%2Fconvert%2Fparquet hold slashes
        self.hub.log.append(f"{self.command} {path}")
        if token := self.headers.get("Authorization"):
            self.hub.tokens.append(token)
        self.posted = self._body()
        due = (f for (verb, end), f in self.hub.faults.items() if f and verb == self.command and path.endswith(end))
        fault = next((f.pop(0) for f in due), Fault())
        if fault.status != 200:
            self._send(fault.status, b"{}", dict(fault.headers))
        elif self.command in ("POST", "PUT") and self._upload(path):
            pass
        elif api := re.fullmatch(
            r"/api/(models|datasets)/(.+?)(?:/(revision|tree|paths-info|refs|parquet)(?:/([^/]+)(?:/(.+))?)?)?", path
        ):
            self._api(*(g and unquote(g) for g in api.groups()))
        elif file := re.fullmatch(r"/(datasets/)?(.+?)/resolve/([^/]+)/(.+)", path):
            dataset, repo, revision, name = (g and unquote(g) for g in file.groups())
            self._file("datasets" if dataset else "models", repo, revision, name, fault)
        else:
            self._error(404, "EntryNotFound")

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 (the names that http.server calls)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _upload(self, path: str) -> bool:
        """What writing takes: create, preupload, large files, commit; whether ``path`` is one of these."""
        if stored := re.fullmatch(r"/stored/([0-9a-f]{64})", path):  # signed elsewhere: no token
            assert hashlib.sha256(self.posted).hexdigest() == stored[1]
            self.hub.stored[stored[1]] = self.posted
            self._send(200, b"", {})
            return True
        if path == "/api/validate-yaml":
            self._send(200, b'{"errors": [], "warnings": []}', {})
            return True
        create = path == "/api/repos/create"
        repo = re.fullmatch(r"(?:/api/models)?/(.+?)(?:/(preupload|commit)/main|\.git/info/lfs/objects/batch)", path)
        if not (create or repo):
            return False
        if not self.headers.get("Authorization"):
            self._error(401, "Unauthorized")
        elif create:
            self._create(json.loads(self.posted))
        elif repo and repo[2] == "preupload":
            names = [f["path"] for f in json.loads(self.posted)["files"]]
            modes = [{"path": n, "uploadMode": "lfs" if n.endswith(LFS) else "regular"} for n in names]
            self._send(200, json.dumps({"files": [m | {"shouldIgnore": False} for m in modes]}).encode(), {})
        elif repo and repo[2] == "commit":
            self._commit(repo[1])
        else:
            objects = json.loads(self.posted)["objects"]
            for o in objects:
                o["actions"] = {"upload": {"href": f"{self.hub.url}/stored/{o['oid']}"}}
            self._send(200, json.dumps({"transfer": "basic", "objects": objects}).encode(), {})
        return True

    def _create(self, asked: dict[str, Any]) -> None:
        repo = f"{asked['organization']}/{asked['name']}"
        exists = ("models", repo) in self.hub.repos
        self.hub.created.append(asked)
        if not exists:
            self.hub.repos["models", repo] = {}
        answer = {"url": f"{self.hub.url}/{repo}", "name": repo, "error": "You already created this model repo"}
        self._send(409 if exists else 200, json.dumps(answer).encode(), {})

    def _commit(self, repo: str) -> None:
        """The files of ``main`` and those of the commit, in a folder of its own."""
        commits = self.hub.repos["models", repo]
        folder = Path(tempfile.mkdtemp(dir=self.hub.uploads))
        if old := self.hub.main.get(("models", repo)):
            shutil.copytree(commits[old], folder, dirs_exist_ok=True)
        for line in self.posted.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] != "header":
                target = folder / value["path"]
                target.parent.mkdir(parents=True, exist_ok=True)
                large = entry["key"] == "lfsFile"
                target.write_bytes(self.hub.stored[value["oid"]] if large else base64.b64decode(value["content"]))
        oid = hashlib.sha1(self.posted).hexdigest()
        self.hub.add(repo, folder, commit=oid)
        answer = {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{repo}/commit/{oid}"}
        self._send(200, json.dumps(answer).encode(), {})

    def _find(self, kind: str, repo: str, revision: str | None) -> tuple[str, Path] | None:
        """Commit and folder; None after an error was sent."""
        commits = self.hub.repos.get((kind, self.hub.aliases.get(repo, repo)))
        if commits is None:
            return self._error(404, "RepoNotFound")
        main = self.hub.main[kind, self.hub.aliases.get(repo, repo)]
        named = self.hub.revisions.get((kind, self.hub.aliases.get(repo, repo)), {})
        commit = main if revision in (None, "main") else named.get(revision, revision)
        if commit not in commits:
            return self._error(404, "RevisionNotFound")
        return commit, commits[commit]

    def _api(self, kind: str, repo: str, what: str | None, revision: str | None, below: str | None) -> None:
        found = self._find(kind, repo, revision if what != "refs" else None)
        if found is None:
            return
        commit, folder = found
        entries = [_entry(folder, p) for p in sorted(folder.rglob("*"))]
        if what in (None, "revision"):
            siblings = [
                {
                    "rfilename": e["path"],
                    "size": e["size"],
                    "blobId": e["oid"],
                    **({"lfs": e["lfs"]} if "lfs" in e else {}),
                }
                for e in entries
                if e["type"] == "file"
            ]
            facts = {
                "_id": "0", "id": repo, "modelId": repo, "sha": commit, "private": False, "disabled": False,
                "gated": "auto" if repo in self.hub.gated else False, "tags": [], "downloads": 0, "likes": 0,
                "lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z",
            }  # fmt: skip
            self._json({**facts, "siblings": siblings}, commit)
        elif what == "tree":
            inside = [e for e in entries if not below or e["path"].startswith(below + "/") or e["path"] == below]
            if below and not inside:
                self._error(404, "EntryNotFound")
                return
            if parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() not in ("true", "1"):
                depth = below.count("/") + 1 if below else 0
                inside = [e for e in inside if e["path"].count("/") == depth]
            self._json(inside, commit)
        elif what == "paths-info":
            text = self.posted.decode()
            paths = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text).get("paths", [])
            wanted = [paths] if isinstance(paths, str) else paths
            self._json([e for e in entries if e["path"] in wanted], commit)
        elif what == "refs":
            main = {"name": "main", "ref": "refs/heads/main", "targetCommit": commit}
            self._json({"branches": [main], "tags": [], "converts": []}, commit)
        else:
            self._error(404, "EntryNotFound")

    def _file(self, kind: str, repo: str, revision: str, name: str, fault: Fault) -> None:
        found = self._find(kind, repo, revision)
        if found is None:
            return
        if repo in self.hub.gated and not self.headers.get("Authorization"):
            self._error(401, "GatedRepo")
            return
        path = found[1] / name
        if not path.is_file():
            self._error(404, "EntryNotFound")
            return
        body, entry = path.read_bytes(), _entry(found[1], path)
        size = len(body)
        headers = {"ETag": f'"{entry["oid"]}"', "X-Repo-Commit": found[0], "Accept-Ranges": "bytes"}
        if "lfs" in entry:
            headers |= {"X-Linked-Etag": f'"{entry["lfs"]["oid"]}"', "X-Linked-Size": str(size)}
        if fault.body == "flipped":
            body = body[:-1] + bytes([body[-1] ^ 1])
        status = 200
        if span := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, stop = int(span[1]), int(span[2] or size - 1)
            body, status = body[start : stop + 1], 206
            headers["Content-Range"] = f"bytes {start}-{min(stop, size - 1)}/{size}"
        self._send(status, body, headers, "application/octet-stream", half=fault.body == "half")

    def _json(self, value: Any, commit: str) -> None:
        self._send(200, json.dumps(value).encode(), {"X-Repo-Commit": commit})

    def _error(self, status: int, code: str) -> None:
        self._send(status, json.dumps({"error": code}).encode(), {"X-Error-Code": code, "X-Error-Message": code})

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], kind: str = "application/json", half: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if half else body)
        if half:
            self.close_connection = True


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    name = path.relative_to(folder).as_posix()
    if path.is_dir():
        return {"type": "directory", "oid": "0" * 40, "size": 0, "path": name}
    body = path.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
    entry = {"type": "file", "oid": git, "size": len(body), "path": name}
    if path.suffix in LFS:
        oid = hashlib.sha256(body).hexdigest()
        entry["lfs"] = {"oid": oid, "sha256": oid, "size": len(body), "pointerSize": 134}
    return entry
