"""A mail server that takes everything and keeps the number: one process a connection."""

import os
import socket
import sys

ANSWERS = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n",
    b"QUIT": b"221 bye\r\n",
}


def serve(connection: socket.socket, counter: int) -> None:
    """Talk with one client until it leaves; a byte in the file for each mail taken."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(b"220 sink\r\n")
    kept = b""
    while received := connection.recv(65536):
        kept += received
        answers = b""
        while b"\r\n" in kept:
            line, _, kept = kept.partition(b"\r\n")
            word = line[:4].upper()
            if word == b"DATA":
                connection.sendall(answers + b"354 go on\r\n")
                while b"\r\n.\r\n" not in kept:
                    kept += connection.recv(65536)
                kept = kept.partition(b"\r\n.\r\n")[2]
                os.write(counter, b".")
                answers = b"250 ok\r\n"
            elif word == b"BDAT":
                size = int(line.split()[1])
                while len(kept) < size:
                    kept += connection.recv(65536)
                kept = kept[size:]
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
            serve(connection, counter)
            os._exit(0)
        connection.close()


if __name__ == "__main__":
    main()
