"""A strict reader of event streams: a raw socket, so that what really arrived is checked to the byte, and when.

docs/api.md says what arrives: messages that are exactly `id: N`, `data: {one line of JSON}` and an empty line, and comments
that are `:` and an empty line. Whatever else comes fails the test that reads it.
"""

import json
import re
import socket
import time

from host import DEADLINE_S

MESSAGE = re.compile(rb"id: ([1-9][0-9]*)\ndata: ([^\r\n]*)")
COMMENT = b":"
FINAL = ("result", "error")


class Message:
    """One message: its number, its data as it came and parsed, and when its last byte came."""

    def __init__(self, number, raw):
        self.id, self.raw, self.at = number, raw, time.monotonic()
        self.data = json.loads(raw)

    @property
    def event(self):
        return self.data["event"]

    def __repr__(self):
        return f"{self.id}: {self.raw[:500].decode()}"


class Connection:
    """One connection, which may carry several requests, one after the other."""

    def __init__(self, client, source="127.0.0.1", receive_bytes=None, timeout=DEADLINE_S):
        self.token = client.token
        self.buffer = b""
        self.socket = socket.socket()
        self.socket.settimeout(timeout)
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", client.port))

    def send(self, method, path, body=None, headers=(), version="HTTP/1.1"):
        """body: bytes as they are, anything else as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        fields = {"Host": "mayfly", **dict(headers)}
        if self.token:
            fields.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            fields["Content-Length"] = len(body)
        head = f"{method} {path} {version}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields.items()) + "\r\n"
        self.socket.sendall(head.encode() + (body or b""))

    def reply(self, after=0):
        """Reads the head of an answer, past interim ones. after: the number of the last message that was seen."""
        while True:
            version, status, *_ = self.line().split(b" ", 2)
            headers = {}
            while line := self.line():
                name, value = line.split(b":", 1)
                headers[name.decode().lower()] = value.strip().decode()
            if int(status) >= 200:
                return Reply(self, version.decode(), int(status), headers, after)

    def ask(self, method, path, body=None, headers=(), version="HTTP/1.1", after=0):
        self.send(method, path, body, headers, version)
        return self.reply(after)

    def receive(self):
        more = self.socket.recv(1 << 16)
        self.buffer += more
        return bool(more)

    def line(self):
        while b"\r\n" not in self.buffer:
            assert self.receive(), f"the connection ended amid {self.buffer!r}"
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def take(self, length):
        """Up to length bytes, at least one; none at the end of the connection."""
        if not self.buffer and not self.receive():
            return b""
        taken, self.buffer = self.buffer[:length], self.buffer[length:]
        return taken

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """Leaves rudely: what is under way is thrown away, the peer gets RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Reply:
    """One answer: read whole, as any other, or as the stream that it is."""

    def __init__(self, connection, version, status, headers, after):
        self.connection, self.version, self.status, self.headers = connection, version, status, headers
        self.last = after
        self.comments = 0
        self.final = None
        self._messages = self._read_messages()

    # As a whole.

    def read(self):
        if not hasattr(self, "_body"):
            self._body = b"".join(self._chunks())
        return self._body

    @property
    def body(self):
        return self.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json.get("code")

    def __repr__(self):
        return f"{self.status} {self.headers}"

    # As a stream.

    def next(self):
        """The next message; comments are counted on the way. None at the end."""
        return next(self._messages, None)

    def messages(self):
        """All that are still to come."""
        return list(self._messages)

    def events(self):
        """What they say."""
        return [message.data for message in self._messages]

    def _read_messages(self):
        assert self.status == 200, (self, self.body)
        assert self.headers["content-type"] == "text/event-stream"
        text = b""
        for chunk in self._chunks():
            *blocks, text = (text + chunk).split(b"\n\n")
            for block in blocks:
                if block == COMMENT:
                    self.comments += 1
                else:
                    yield self._message(block)
        assert text == b"", f"cut short: {text[:500]}"
        assert self.final, "the stream ended with neither result nor error"

    def _message(self, block):
        match = MESSAGE.fullmatch(block)
        assert match, f"no message: {block[:500]}"
        assert not self.final, f"after {self.final}: {block[:500]}"
        message = Message(int(match[1]), match[2])
        assert message.id == self.last + 1, f"{message.id} after {self.last}"
        assert isinstance(message.data, dict) and {"event", "data", "type"} <= set(message.data), message
        assert message.event == "log" or message.event in FINAL, message
        self.last = message.id
        if message.event in FINAL:
            self.final = message
        return message

    # Its bytes, as they come.

    def _chunks(self):
        if self.headers.get("transfer-encoding") == "chunked":
            assert "content-length" not in self.headers
            yield from self._chunked()
        elif "content-length" in self.headers:
            yield from self._exactly(int(self.headers["content-length"]))
        elif self.status != 204:
            while more := self.connection.take(1 << 20):
                yield more

    def _chunked(self):
        while True:
            size = self.connection.line()
            assert re.fullmatch(rb"[0-9a-fA-F]+", size), size
            yield from self._exactly(int(size, 16))
            assert self.connection.line() == b"", "a chunk longer than it says"
            if int(size, 16) == 0:
                return

    def _exactly(self, length):
        while length:
            more = self.connection.take(length)
            assert more, f"the connection ended {length} bytes too early"
            length -= len(more)
            yield more

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def ask(client, method, path, body=None, headers=(), **options):
    """One request on a connection of its own."""
    return Connection(client, **options).ask(method, path, body, headers)


def stream_now(client, language, code, headers=(), **members):
    return ask(client, "POST", "/run-now", {"language": language, "code": code, "stream": True, **members}, headers)


def stream_run(client, path, version=None, **members):
    query = "" if version is None else f"?version={version}"
    return ask(client, "POST", f"/run/{path}{query}", {"stream": True, **members})


def events_of(client, language, code, **members):
    """All that one stream of a script says."""
    with stream_now(client, language, code, **members) as reply:
        return reply.events()


def watch(client, location, after=None):
    """The stream of a call that was begun before: from the first message, or from the one after `after`."""
    headers = {"Accept": "text/event-stream"}
    if after is not None:
        headers["Last-Event-ID"] = after
    return Connection(client).ask("GET", location, headers=headers, after=after or 0)
