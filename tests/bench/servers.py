# SPDX-License-Identifier: MIT
"""Processes that side_by_side measures: nodes of ours and of Mnesia, redis-server.  All listen on loopback, work in one
temporary directory, and are gone with it at the end."""
import atexit, csv, io, os, pathlib, random, shutil, signal, socket, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", str(ROOT / "build/release")))
VALUE_BYTES = 256
home = pathlib.Path(tempfile.mkdtemp(prefix="muster-bench-"))
running = []
_used = set()


def clean():
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait()
    shutil.rmtree(home, ignore_errors=True)


atexit.register(clean)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def free_port():
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _used:
            _used.add(port)
            return port


MAPPER = free_port()   # of our nodes
EPMD = free_port()     # of Erlang's


def start(*arguments, **options):
    options.setdefault("stdout", subprocess.DEVNULL)
    options.setdefault("stderr", open(home / "errors", "a"))
    process = subprocess.Popen([str(each) for each in arguments], cwd=home, **options)
    running.append(process)
    return process


class Server:
    """Anything with a process; CPU is that of all its threads, in seconds."""

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        self.signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait()


class Member(Server):
    """Speaks the lines of member.cc; `took` is what it needed until its table was ready."""

    def __init__(self, command, **options):
        self.process = start(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, **options)
        self.took = float(self.line())

    def line(self):
        text = self.process.stdout.readline().strip()
        if not text:
            sys.exit(f"{type(self).__name__} ended: " + (home / "errors").read_text()[-2000:])
        return text

    def ask(self, *words):
        self.process.stdin.write(" ".join(str(each) for each in words) + "\n")
        return self.line()

    def fill(self, first, last):
        answer = self.ask("fill", first, last)
        if answer != "ok":
            sys.exit(f"{type(self).__name__} was not filled: {answer}")

    def put(self, writers, milliseconds, keys):
        count, seconds, half, most = map(float, self.ask("put", writers, milliseconds, keys).split())
        return {"count": count, "rate": count / seconds, "p50": half, "p99": most}

    def get(self, milliseconds, keys):
        count, seconds = map(float, self.ask("get", milliseconds, keys).split())
        return {"count": count, "rate": count / seconds}

    def stop(self):
        self.signal(signal.SIGCONT)
        self.process.stdin.close()
        self.process.wait()


class Ours(Member):
    def __init__(self, name, storage, peer=None):
        command = [BUILD / "tests/bench/member_bench", f"{name}@127.0.0.1", home / name, storage]
        super().__init__(command + ([f"{peer}@127.0.0.1"] if peer else []),
                         env=dict(os.environ, ERL_EPMD_PORT=str(MAPPER)))

    @staticmethod
    def erase(name):
        shutil.rmtree(home / name, ignore_errors=True)


class Mnesia(Member):
    _epmd = None

    def __init__(self, name, storage, peer=None):
        if not Mnesia._epmd:
            subprocess.run(["erlc", "-o", home, ROOT / "tests/bench/mnesia_member.erl"], check=True)
            Mnesia._epmd = start("epmd", "-port", EPMD, "-address", "127.0.0.1")
            connected(EPMD).close()
        command = ["erl", "-noinput", "-start_epmd", "false", "-name", f"{name}@127.0.0.1", "-setcookie", "bench", "-pa", home,
                   "-mnesia", "dir", f'"{home}/mnesia-{name}"', "-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-kernel", "logger_level", "critical",
                   "-s", "mnesia_member", "main", storage]
        super().__init__(command + ([f"{peer}@127.0.0.1"] if peer else []),
                         env=dict(os.environ, ERL_EPMD_PORT=str(EPMD)))

    def resident(self):
        self.ask("collect")
        return super().resident()

    @staticmethod
    def erase(name):
        shutil.rmtree(home / f"mnesia-{name}", ignore_errors=True)


def connected(port):
    for _ in range(3000):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            time.sleep(0.01)
    sys.exit(f"nobody listens on port {port}")


class RespServer(Server):
    """What speaks Redis's protocol at `port`."""

    def ask(self, *words):
        with connected(self.port) as client:
            client.sendall(encoded(*words))
            return client.recv(65536).decode()

    def load(self, command, connections, pipeline, count, keys):
        """redis-benchmark's own loop."""
        key = "key:__rand_int__:0123456789abcde"
        words = ["SET", key, "v" * VALUE_BYTES] if command == "SET" else ["GET", key]
        before = self.cpu()
        out = subprocess.run(["redis-benchmark", "-p", str(self.port), "-c", str(connections), "-P", str(pipeline), "-n",
                              str(count), "-r", str(keys), "--csv", *words], capture_output=True, text=True, check=True)
        row = list(csv.reader(io.StringIO(out.stdout)))[-1]
        return {"rate": float(row[1]), "p50": float(row[4]) * 1000, "cpu": (self.cpu() - before) / count * 1e6}

    def fill(self, first, last, *options):
        """Distinct keys; values differ."""
        pipe = subprocess.Popen(["redis-cli", "-p", str(self.port), "--pipe"], stdin=subprocess.PIPE,
                                stdout=subprocess.DEVNULL)
        for begin in range(first, last, 1000):
            pipe.stdin.write(b"".join(encoded("SET", f"key:{i:012d}:0123456789abcde", random.randbytes(VALUE_BYTES), *options)
                                      for i in range(begin, min(begin + 1000, last))))
        pipe.stdin.close()
        if pipe.wait() != 0:
            sys.exit("filling failed")


def encoded(*words):
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Redis(RespServer):
    def __init__(self, *options):
        self.port = free_port()
        self.process = start("redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                             "--dir", home, *options)
        connected(self.port).close()


class Program(RespServer):
    """`muster start`: the program, with its Redis port."""

    def __init__(self, name, storage="ram_copies", peer=None):
        http, self.port = free_port(), free_port()
        file = home / f"{name}.yaml"
        file.write_text(f"tables: {{session: {{storage: {storage}}}}}\nlog: {{level: warn}}\n"
                        f"connect: [{peer + '@127.0.0.1' if peer else ''}]\n")
        self.process = start(BUILD / "bin/muster", "start", file, "--name", f"{name}@127.0.0.1", "--port", http, "--resp-port",
                             self.port, "--dir", home / name, "--cookie-file", home / "cookie",
                             env=dict(os.environ, ERL_EPMD_PORT=str(MAPPER)))
        until(lambda: b" 200 " in self.asked(http), 120)

    @staticmethod
    def asked(http):
        with connected(http) as client:
            client.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return client.recv(4096)


def until(true, seconds):
    """How long it took."""
    start_time = time.monotonic()
    while not true():
        if time.monotonic() - start_time > seconds:
            sys.exit("waited too long")
        time.sleep(0.001)
    return time.monotonic() - start_time
