"""A mail server that takes everything and keeps the number: one process a connection."""

import contextlib
import os
import socket
import sys

ANSWERS = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n",
    b"QUIT": b"221 bye\r\n",
}
AT_ONCE = 65536
END = b"\r\n.\r\n"


class Talk:
    """One client's words, and where they are read on: no byte is copied for each line."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.kept, self.at = b"", 0

    def hear(self) -> None:
        """Receive more. Raises EOFError once the client has left."""
        received = self.connection.recv(AT_ONCE)
        if not received:
            raise EOFError
        self.kept, self.at = self.kept[self.at :] + received, 0

    def line(self) -> bytes | None:
        """Return the next line without its end, None where it is not whole yet."""
        end = self.kept.find(b"\r\n", self.at)
        if end < 0:
            return None
        line, self.at = self.kept[self.at : end], end + 2
        return line

    def skip(self, size: int) -> None:
        """Take a text of so many bytes."""
        while size > (there := len(self.kept) - self.at):
            size, self.at = size - there, len(self.kept)
            self.hear()
        self.at += size

    def skip_to_end(self) -> None:
        """Take a text that a line with a full stop alone ends."""
        while (end := self.kept.find(END, self.at)) < 0:
            self.hear()
        self.at = end + len(END)


def serve(connection: socket.socket, counter: int) -> None:
    """Talk with one client until it leaves; a byte in the file for each mail taken."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(b"220 sink\r\n")
    talk = Talk(connection)
    while True:
        talk.hear()
        answers = b""
        while (line := talk.line()) is not None:
            word = line[:4].upper()
            if word == b"DATA":
                connection.sendall(answers + b"354 go on\r\n")
                talk.skip_to_end()
                os.write(counter, b".")
                answers = b"250 ok\r\n"
            elif word == b"BDAT":
                talk.skip(int(line.split()[1]))
                os.write(counter, b".")
                answers += b"250 ok\r\n"
            else:
                answers += ANSWERS.get(word, b"250 ok\r\n")
        connection.sendall(answers)


def main() -> None:
    """Listen where told; the file named second grows by a byte with each mail."""
    listening = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
    counter = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        connection, _address = listening.accept()
        if os.fork() == 0:
            listening.close()
            with contextlib.suppress(EOFError, ConnectionError):
                serve(connection, counter)
            os._exit(0)
        connection.close()


if __name__ == "__main__":
    main()
