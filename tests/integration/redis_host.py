"""Redis as its operator sees it: a server of one's own, started, stopped, killed, held still, replicated, watched by Sentinel."""

import os
import signal
import subprocess

import redis

from host import DEADLINE_S, environment, eventually, free_port

SERVER, SENTINEL = "redis-server", "redis-sentinel"
# One program with several names; by this one it is in redis-tools, which brings no service.
PROGRAM = "redis-check-rdb"


class Redis:
    """A Redis server in a directory of its own, on a port that stays its own over restarts. It keeps an append-only file."""

    def __init__(self, directory, password=None, port=None, **options):
        """options: as in redis.conf, with `_` for `-`."""
        self.directory, self.password = str(directory), password
        self.port = port or free_port()
        self.options = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "repl_diskless_sync_delay": 0, **options}
        self.process = None
        os.makedirs(self.directory, exist_ok=True)

    def command(self):
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self.directory, **self.options}
        if self.password:
            options |= {"requirepass": self.password, "masterauth": self.password}
        words = [SERVER]
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}", *str(value).split(" ")]
        return words

    def start(self):
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                executable=PROGRAM,
                cwd=self.directory,
                env=environment({}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(self.answers, self.log, still=lambda: self.process.poll() is None)
        return self

    def client(self, **options):
        """Text in, text out; decode_responses=False for bytes."""
        options = {"decode_responses": True, "socket_timeout": DEADLINE_S, **options}
        return redis.Redis("127.0.0.1", self.port, password=self.password, **options)

    def answers(self):
        try:
            with self.client(socket_timeout=5) as client:
                return client.ping()
        except redis.RedisError:  # not there, or still loading
            return False

    def log(self):
        with open(os.path.join(self.directory, "log"), errors="replace") as file:
            return file.read()

    def stop(self):
        """As its operator does: what it has is on disk."""
        self.end(signal.SIGTERM)

    def kill(self):
        self.end(signal.SIGKILL)

    def end(self, signal_number):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal_number)
            self.process.wait(DEADLINE_S)

    def pause(self):
        """It keeps its connections, takes new ones (the kernel does), and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def settings(self):
        """Of a mayfly that keeps its functions here."""
        return {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": self.port, "REDIS_PASSWORD": self.password}


class Sentinel(Redis):
    """One sentinel, whose word is enough: it watches `primary` under the name `mymaster`."""

    def __init__(self, directory, primary):
        super().__init__(directory)
        self.configuration = os.path.join(self.directory, "sentinel.conf")
        with open(self.configuration, "w") as file:
            file.write(
                f"port {self.port}\nbind 127.0.0.1\ndir {self.directory}\n"
                f"sentinel monitor mymaster 127.0.0.1 {primary.port} 1\n"
                "sentinel down-after-milliseconds mymaster 500\n"
                "sentinel failover-timeout mymaster 3000\n"
            )
            if primary.password:
                file.write(f"sentinel auth-pass mymaster {primary.password}\n")

    def command(self):
        return [SENTINEL, self.configuration]

    def primary_port(self):
        with self.client() as client:
            return int(client.execute_command("SENTINEL", "get-master-addr-by-name", "mymaster")[1])

    def knows_replicas(self):
        with self.client() as client:
            answer = client.execute_command("SENTINEL", "replicas", "mymaster")
            return len(answer) > 0

    def settings(self):
        return {"REDIS_SENTINELS": f"127.0.0.1:{self.port}"}
