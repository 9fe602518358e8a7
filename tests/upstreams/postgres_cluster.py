"""A real PostgreSQL for a while: a cluster in a temporary folder, on a free port of loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # seconds until a cluster that does not do as it should is given up
OWNER = "owner"


class Cluster:
    """Made and served by `start`, ended by `stop`; for root it runs as the user postgres.

    The folder is an empty one, for whoever made it to take away.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._user: dict[str, Any] = {"cwd": self._folder}
        if os.geteuid() == 0:  # as which PostgreSQL refuses to run
            shutil.chown(self._folder, "postgres", "postgres")
            self._user.update(user="postgres", group="postgres", extra_groups=[])
        self.password = secrets.token_hex(16)
        # Bound until the end: nobody else is given the port meanwhile, and PostgreSQL may listen on it.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port: int = self._reserved.getsockname()[1]

    def start(self) -> None:
        """Returns when it answers."""
        self._initialise()
        self._process = self._serve()
        deadline = time.monotonic() + PATIENCE
        while not self._is_ready():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    @property
    def uri(self) -> str:
        """Where its database is, for clients."""
        return f"postgresql://{OWNER}:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def log(self) -> str:
        """What it logged so far: every statement, before it is carried out."""
        return (self._folder / "log").read_text("utf-8", errors="replace")

    def sql(self, statement: str) -> list[str]:
        """The rows that a statement gives, a line each; past every upstream, by psql."""
        done = subprocess.run(
            self.psql("--command", statement),
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()

    def psql(self, *arguments: str) -> list[str]:
        """The command line of a psql that is to be run with `environment`."""
        options = ["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]
        return [
            str(self._programs / "psql"),
            *options,
            f"--host={self._folder}",
            f"--port={self.port}",
            f"--username={OWNER}",
            "--dbname=postgres",
            *arguments,
        ]

    @property
    def environment(self) -> dict[str, str]:
        """Where psql has the password from."""
        return {**os.environ, "PGPASSWORD": self.password}

    def stop(self) -> None:
        """Ends it, whoever is connected."""
        self._reserved.close()
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)  # "fast": sessions are ended, nobody is waited for
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()

    def _initialise(self) -> None:
        password = self._folder / "password"
        password.write_text(self.password)
        command = [
            str(self._programs / "initdb"),
            f"--pgdata={self._folder / 'data'}",
            f"--username={OWNER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._user)
        assert done.returncode == 0, done.stderr
        password.unlink()

    def _serve(self) -> subprocess.Popen[bytes]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self._folder,
            "fsync": "off",
            "log_statement": "all",
        }
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data")]
        command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("wb") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._user,
            )

    def _is_ready(self) -> bool:
        command = [str(self._programs / "pg_isready"), f"--host={self._folder}", f"--port={self.port}"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
