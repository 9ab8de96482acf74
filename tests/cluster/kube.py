"""A stand-in for a Kubernetes cluster: the few answers of its API that Snakemake's executor asks for.

A pod is the command of a job, run in a folder of its own, which is empty to begin with, with the variables that its
secret holds; a claim is a folder of this machine under the path where it is mounted. No image is started.
"""

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CONFIG = """
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
clusters: [{{name: test, cluster: {{server: "{url}"}}}}]
users: [{{name: test, user: {{token: none}}}}]
"""


class Cluster:
    """Jobs by name, as they were asked for, and their processes."""

    def __init__(self, folder: Path, path: str, at_once: int) -> None:
        self.folder, self.path, self.url = folder, path, ""
        self.asked: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, int | None] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.deleted: list[str] = []
        self.free = threading.Semaphore(at_once)

    def start(self, job: dict[str, Any]) -> None:
        """Take a job on; its pod starts when there is room."""
        name = job["metadata"]["name"]
        self.asked[name], self.pods[name] = job, None
        threading.Thread(target=self._run, args=(name,), daemon=True).start()

    def _run(self, name: str) -> None:
        try:
            self.pods[name] = self._ended(name)
        except Exception as error:
            (self.folder / f"{name}.log").write_text(f"the stand-in failed: {error!r}")
            self.pods[name] = -1

    def _ended(self, name: str) -> int:
        """Exit status of a pod."""
        (container,) = self.asked[name]["spec"]["template"]["spec"]["containers"]
        workdir = self.folder / name
        workdir.mkdir()
        # a node's own variables: what it is told to take its processor for changes last bits
        env = {k: v for k, v in os.environ.items() if k == "LANG" or k.startswith("OPENBLAS")}
        env |= {"PATH": self.path, "HOME": str(workdir)}
        for variable in container.get("env", []):
            of = variable["valueFrom"]["secretKeyRef"]
            env[variable["name"]] = base64.b64decode(self.secrets[of["name"]][of["key"]]).decode()
        with self.free, open(self.folder / f"{name}.log", "w") as log:
            command = [*container["command"], *container["args"]]
            return subprocess.run(command, cwd=workdir, env=env, stdout=log, stderr=log).returncode

    @contextmanager
    def serving(self) -> Iterator["Cluster"]:
        """Answer on the loopback; ``kubeconfig`` lies in the folder."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"cluster": self}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        (self.folder / "kubeconfig").write_text(CONFIG.format(url=self.url))
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/secrets"):
            self.cluster.secrets[body["metadata"]["name"]] = body["data"]
        else:
            assert self.path.partition("?")[0].endswith("/jobs"), self.path
            self.cluster.start(body)
        self._answer(body, 201)

    def do_GET(self) -> None:
        where, _, query = self.path.partition("?")
        if where.endswith("/pods"):  # the executor then goes by the job's own status
            assert query.startswith("labelSelector=job-name")
            return self._answer({"kind": "PodList", "apiVersion": "v1", "items": []})
        name = where.split("/")[-2]
        assert where.endswith(f"/jobs/{name}/status"), where
        code = self.cluster.pods[name]
        status = {} if code is None else {"succeeded": 1} if code == 0 else {"failed": 1}
        return self._answer({**self.cluster.asked[name], "status": status})

    def do_DELETE(self) -> None:
        self.cluster.deleted.append(self.path.partition("?")[0].split("/")[-1])
        self._answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _answer(self, body: Any, code: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Into no test's output."""
