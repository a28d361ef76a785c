"""Owns a JupyterLab as its page in a browser uses it: REST, kernels and terminals over websockets.

jupyter = Jupyter("10.77.1.2", 8888, tls_context, token)
with jupyter.kernel() as kernel:
    print(kernel.run("1 + 1"))
with jupyter.terminal() as terminal:
    status, said = terminal.run("id")

The kernel's messages are jupyter_client's 5.x in JSON, the terminal's are terminado's.
"""

import contextlib
import http.client
import json
import re
import ssl
import sys
import time
import uuid

import requirements

sys.path.insert(0, str(requirements.wheel(requirements.WEBSOCKET)))
import websocket  # noqa: E402


class CellFailed(Exception):
    """The cell raised; the message is the traceback."""


class KernelDied(Exception):
    """The kernel restarted or ended while the cell ran."""


class Jupyter:
    def __init__(self, address: str, port: int, trusted: ssl.SSLContext, token: str):
        self._address = address
        self._port = port
        self._trusted = trusted
        self._headers = {"Authorization": f"token {token}"}

    def request(self, method: str, path: str, body=None, headers=None, timeout: float = 60):
        """(status, headers, text) of one request; without `headers` it carries the token."""
        connection = http.client.HTTPSConnection(
            self._address, self._port, context=self._trusted, timeout=timeout
        )
        try:
            text = body if isinstance(body, str) or body is None else json.dumps(body)
            sent = self._headers if headers is None else headers
            connection.request(method, path, body=text, headers=sent)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def ask(self, method: str, path: str, body=None):
        """The answer's JSON; any status but 2xx is an error."""
        status, _, text = self.request(method, path, body)
        if not 200 <= status < 300:
            raise AssertionError(f"{method} {path} was answered with {status}: {text[:500]}")
        return json.loads(text) if text else None

    def log_in(self, password: str) -> int:
        """The status that the login's form is answered with."""
        _, headers, _ = self.request("GET", "/login", headers={})
        cookie = next(c for c in headers.get_all("Set-Cookie") if c.startswith("_xsrf="))
        xsrf = cookie.split(";")[0].removeprefix("_xsrf=")
        form = {"Cookie": f"_xsrf={xsrf}", "Content-Type": "application/x-www-form-urlencoded"}
        return self.request("POST", "/login", f"_xsrf={xsrf}&password={password}", form)[0]

    @contextlib.contextmanager
    def kernel(self, name: str = "python3"):
        made = self.ask("POST", "/api/kernels", {"name": name})
        kernel = Kernel(self, made["id"])
        try:
            yield kernel
        finally:
            kernel.close()
            self.request("DELETE", f"/api/kernels/{made['id']}")

    @contextlib.contextmanager
    def terminal(self):
        made = self.ask("POST", "/api/terminals")
        terminal = Terminal(self, made["name"])
        try:
            yield terminal
        finally:
            terminal.close()
            self.request("DELETE", f"/api/terminals/{made['name']}")

    def websocket(self, path: str, timeout: float = 60) -> websocket.WebSocket:
        return websocket.create_connection(
            f"wss://{self._address}:{self._port}{path}",
            header=self._headers,
            sslopt={"context": self._trusted},
            timeout=timeout,
        )


class Kernel:
    def __init__(self, jupyter: Jupyter, identity: str):
        self.id = identity
        self._jupyter = jupyter
        self._session = uuid.uuid4().hex
        self._connect()

    def _connect(self) -> None:
        self._socket = self._jupyter.websocket(
            f"/api/kernels/{self.id}/channels?session_id={self._session}"
        )

    def run(self, code: str, timeout: float = 60) -> str:
        """What the cell printed, and the text of its last value."""
        return self.wait(self.start(code), timeout)

    def start(self, code: str) -> str:
        """Sends a cell; wait() gives what it comes to."""
        header = {
            **{"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3"},
            **{"session": self._session, "username": "", "date": "2000-01-01T00:00:00Z"},
        }
        content = {
            **{"code": code, "silent": False, "store_history": True, "user_expressions": {}},
            **{"allow_stdin": False, "stop_on_error": True},
        }
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        self._socket.send(json.dumps({**message, "channel": "shell", "buffers": []}))
        return header["msg_id"]

    def wait(self, cell: str, timeout: float = 60) -> str:
        deadline = time.monotonic() + timeout
        said = ""
        while True:
            self._socket.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                message = json.loads(self._socket.recv())
            except websocket.WebSocketTimeoutException:
                raise TimeoutError(f"the cell did not end in {timeout:.0f} s: {said}") from None
            content, kind = message["content"], message["msg_type"]
            if kind == "status" and content["execution_state"] in ("restarting", "dead"):
                raise KernelDied(content["execution_state"])
            if message["parent_header"].get("msg_id") != cell:
                continue
            if kind == "stream":
                said += content["text"]
            elif kind == "execute_result":
                said += content["data"].get("text/plain", "")
            elif kind == "error":
                raise CellFailed("\n".join(content["traceback"]))
            elif kind == "status" and content["execution_state"] == "idle":
                return said

    def interrupt(self) -> None:
        self._jupyter.ask("POST", f"/api/kernels/{self.id}/interrupt")

    def restart(self) -> None:
        self._jupyter.ask("POST", f"/api/kernels/{self.id}/restart")
        self._socket.close()
        self._connect()

    def close(self) -> None:
        self._socket.close()


class Terminal:
    def __init__(self, jupyter: Jupyter, name: str):
        self.name = name
        self._socket = jupyter.websocket(f"/terminals/websocket/{name}")
        self._socket.send(json.dumps(["set_size", 50, 200, 800, 1600]))
        self.run("stty -echo; PS1=; PS2=; bind 'set enable-bracketed-paste off'")

    def run(self, line: str, timeout: float = 60) -> tuple[int, str]:
        """The line's exit status and what it said."""
        mark = uuid.uuid4().hex
        # In two words, so that an echo of the line is not taken for its end.
        self.send(f"{{ {line}\n}}; printf '%s%s:%d;' {mark[:16]} {mark[16:]} $?\n")
        end = re.compile(rf"{mark}:(\d+);")
        said = ""
        deadline = time.monotonic() + timeout
        while not (ended := end.search(said)):
            self._socket.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                kind, *text = json.loads(self._socket.recv())
            except websocket.WebSocketTimeoutException:
                raise AssertionError(f"{line} did not end in {timeout:.0f} s: {said}") from None
            if kind == "stdout":
                said += text[0]
        return int(ended[1]), said[: ended.start()].replace("\r\n", "\n").strip()

    def send(self, text: str) -> None:
        self._socket.send(json.dumps(["stdin", text]))

    def close(self) -> None:
        self._socket.close()
