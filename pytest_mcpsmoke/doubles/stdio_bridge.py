"""The child process of an upstream over stdio: relays its standard streams to the test's process.

Run as a file, by any Python and without any package: `python -I -S stdio_bridge.py PORT KEY [ARGUMENT ...]`.
It ends when either side closes, and so also when the test's process is killed.
"""

import json
import os
import socket
import sys
import threading


def main() -> int:
    port, key = int(sys.argv[1]), sys.argv[2]
    try:
        upstream = socket.create_connection(("127.0.0.1", port))
    except OSError as error:
        print(f"the upstream of this test is gone: {error}", file=sys.stderr)
        return 1
    hello = {
        "key": key,
        "argv": sys.argv[3:],
        "env": dict(os.environ),
        "cwd": os.getcwd(),
        "pid": os.getpid(),
    }
    upstream.sendall(json.dumps(hello).encode() + b"\n")
    threading.Thread(target=_send_stdin, args=[upstream], daemon=True).start()
    try:
        while data := upstream.recv(65536):
            _write_all(1, data)
    except OSError:  # whoever read our output is gone, or the test is
        pass
    return 0


def _send_stdin(upstream: socket.socket) -> None:
    try:
        while data := os.read(0, 65536):
            upstream.sendall(data)
        upstream.shutdown(socket.SHUT_WR)  # the upstream ends the session, then main() reads the end
    except OSError:
        os._exit(0)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    os._exit(main())  # at once: the thread may be waiting for input
