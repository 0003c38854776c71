"""A line to another server that can be cut, or go silent, while it is in use."""

import contextlib
import socket
import threading
import time
from typing import Self


class Proxy:
    """Passes bytes on to a server until it is told to behave like a broken network."""

    def __init__(self, host: str, port: int):
        self._target = (host, port)
        self._listener: socket.socket | None = None
        self._lines: set[socket.socket] = set()
        self._passes = threading.Event()
        self._passes.set()
        self.port = 0
        # How many lines there were so far.
        self.came = 0
        # Seconds that everything takes longer, and bytes until a line is cut.
        self.delay = 0.0
        self.cut_after: int | None = None

    def __enter__(self) -> Self:
        self.restore()
        return self

    def __exit__(self, *_):
        self._passes.set()
        self.cut()

    def cut(self) -> None:
        """Refuse connections and drop those there are, as a stopped server does."""
        if self._listener is not None:
            # Wakes the thread that accepts, which closing alone does not.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for line in [*self._lines]:
            _hang_up(line)

    def silence(self) -> None:
        """Accept everything and answer nothing, as behind a dead router."""
        self._passes.clear()

    def restore(self) -> None:
        """Pass everything on again, at once, at the same port."""
        self.delay, self.cut_after = 0.0, None
        self._passes.set()
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]
            self._start(self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _address = listener.accept()
                far = socket.create_connection(self._target)
            except OSError:
                return
            self.came += 1
            self._lines |= {near, far}
            self._start(self._pass_on, near, far)
            self._start(self._pass_on, far, near)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._passes.wait()
                time.sleep(self.delay)
                if self.cut_after is not None:
                    data = data[: max(0, self.cut_after - passed)]
                if not data:
                    break
                passed += len(data)
                target.sendall(data)
        for line in (source, target):
            _hang_up(line)
            self._lines.discard(line)

    def _start(self, work, *arguments) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()


def _hang_up(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    line.close()
