# The kernel's side of an interoperability test: real sockets, driven by one JSON command a line, one JSON answer a line.
# Started once by whoever tests, and forked for each network namespace: standard input names the namespaces, commands
# come over a socket of the fork's own. Each command runs in a thread of its own, so that a transfer does not keep
# another from being asked for. See kernel-peer.ts for the other side.

import base64
import ctypes
import errno
import hashlib
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
import traceback

IPPROTO_MPTCP = 262
SOL_TCP = 6
TCP_IS_MPTCP = 43
TCP_FASTOPEN = 23
TCP_FASTOPEN_CONNECT = 30
SOL_MPTCP = 284
MPTCP_INFO = 1
BLOCK = os.urandom(65536)

handles = {}
kept = {}
content = {}
lock = threading.Lock()
next_handle = [1]


def keep(sock):
    with lock:
        handle = next_handle[0]
        next_handle[0] += 1
        handles[handle] = sock
    return handle


def make_socket(command):
    family = socket.AF_INET6 if ":" in command["address"] else socket.AF_INET
    protocol = IPPROTO_MPTCP if command.get("mptcp", True) else socket.IPPROTO_TCP
    sock = socket.socket(family, socket.SOCK_STREAM, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if "congestion" in command:
        sock.setsockopt(SOL_TCP, socket.TCP_CONGESTION, command["congestion"].encode())
    if "receiveBuffer" in command:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, command["receiveBuffer"])
    if "maxSegment" in command:
        sock.setsockopt(SOL_TCP, socket.TCP_MAXSEG, command["maxSegment"])
    return sock


def listen(command):
    sock = make_socket(command)
    sock.bind((command["address"], command.get("port", 0)))
    if "fastOpen" in command:
        sock.setsockopt(SOL_TCP, TCP_FASTOPEN, command["fastOpen"])
    sock.listen(16)
    return {"handle": keep(sock), "port": sock.getsockname()[1]}


def accept(command):
    sock, peer = handles[command["handle"]].accept()
    return {"handle": keep(sock), "address": peer[0], "port": peer[1]}


def connect(command):
    return connected(command, make_socket(command))


def connect_speaking(command):
    """Connects and sends: with this option the ACK of the SYN/ACK waits for data to go with."""
    sock = make_socket(command)
    sock.setsockopt(SOL_TCP, socket.TCP_DEFER_ACCEPT, 1)
    answer = connected(command, sock)
    answer["sent"] = send({"handle": answer["handle"], "bytes": command["bytes"]})
    return answer


def connected(command, sock):
    if "local" in command:
        sock.bind((command["local"], 0))
    if "fastOpen" in command:
        sock.setsockopt(SOL_TCP, TCP_FASTOPEN_CONNECT, command["fastOpen"])
    sock.connect((command["address"], command["port"]))
    return {"handle": keep(sock), "port": sock.getsockname()[1]}


def send(command):
    sock = handles[command["handle"]]
    total = command["bytes"]
    digest = hashlib.sha256()
    piece = command.get("piece", 262144)
    sent = 0
    while sent < total:
        # Every block begins with its place in the stream: a byte in the wrong place is never the right byte.
        data = bytearray()
        while len(data) < piece and sent + len(data) < total:
            block = struct.pack(">Q", sent + len(data)) + BLOCK[8:]
            data += block[: min(len(block), total - sent - len(data), piece - len(data))]
        sock.sendall(data)
        digest.update(data)
        sent += len(data)
        if "pauseMs" in command:
            time.sleep(command["pauseMs"] / 1000)
    if command.get("shutdown"):
        sock.shutdown(socket.SHUT_WR)
    return {"bytes": sent, "sha256": digest.hexdigest()}


def receive(command):
    """Until the end, or so many bytes."""
    sock = handles[command["handle"]]
    limit = command.get("bytes")
    piece = command.get("piece", 262144)
    digest = hashlib.sha256()
    count = 0
    ended = False
    pauses = command.get("pauses")
    while limit is None or count < limit:
        data = sock.recv(piece if limit is None else min(piece, limit - count))
        if not data:
            ended = True
            break
        digest.update(data)
        count += len(data)
        if "pauseMs" in command and pauses != 0:
            time.sleep(command["pauseMs"] / 1000)
            pauses = pauses and pauses - 1
    return {"bytes": count, "sha256": digest.hexdigest(), "ended": ended}


def load(command):
    """Bytes for `send_loaded`."""
    content["loaded"] = base64.b64decode(command["base64"])
    return {}


def send_loaded(command):
    """Sends a range of what was loaded."""
    handles[command["handle"]].sendall(content["loaded"][command["from"] : command["to"]])
    return {}


def collect(command):
    """Receives, and keeps it: until the end, or until so many bytes are kept."""
    sock = handles[command["handle"]]
    into = kept.setdefault(command["handle"], bytearray())
    limit = command.get("bytes")
    while limit is None or len(into) < limit:
        data = sock.recv(65536)
        if not data:
            return {"ended": True}
        into += data
    return {"ended": False}


def collected(command):
    return {"base64": base64.b64encode(kept.get(command["handle"], b"")).decode()}


def echo(command):
    """Sends back what comes, and ends after the peer has."""
    sock = handles[command["handle"]]
    count = 0
    while True:
        data = sock.recv(262144)
        if not data:
            break
        sock.sendall(data)
        count += len(data)
    sock.shutdown(socket.SHUT_WR)
    return {"bytes": count}


def sink(command):
    """Receives to the end and looks at nothing."""
    sock = handles[command["handle"]]
    into = bytearray(1 << 20)
    count = 0
    while True:
        got = sock.recv_into(into)
        if got == 0:
            return {"bytes": count}
        count += got


def flood(command):
    """Sends so many bytes, always the same, and the end."""
    sock = handles[command["handle"]]
    block = bytes(1 << 20)
    for _ in range(command["bytes"] >> 20):
        sock.sendall(block)
    sock.shutdown(socket.SHUT_WR)
    return {}


def shutdown(command):
    handles[command["handle"]].shutdown(socket.SHUT_WR)
    return {}


def close(command):
    with lock:
        sock = handles.pop(command["handle"])
    if command.get("abort"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    return {}


def info(command):
    """What the kernel says of the connection: whether it is MPTCP, and its subflows."""
    sock = handles[command["handle"]]
    answer = {"mptcp": sock.getsockopt(SOL_TCP, TCP_IS_MPTCP) == 1}
    try:
        raw = sock.getsockopt(SOL_MPTCP, MPTCP_INFO, 512)
        answer["extraSubflows"] = raw[0]
        if len(raw) >= 81:
            answer["subflows"] = raw[80]
        answer["checksum"] = raw[42] == 1
    except OSError as error:
        answer["error"] = os.strerror(error.errno)
    return answer


def inject(command):
    """Sends packets by a device as they are, whatever they are; how many it took."""
    taken = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        for text in command["packets"]:
            packet = base64.b64decode(text)
            protocol = 0x86DD if packet[:1] >= b"\x60" else 0x0800
            try:
                sock.sendto(packet, (command["device"], protocol))
                taken += 1
            except OSError as error:
                # Longer than the device's packets, or empty: nothing that could arrive.
                if error.errno not in (errno.EMSGSIZE, errno.EINVAL):
                    raise
    return taken


def counters(command):
    """Every counter of TCP and MPTCP in this network namespace."""
    answer = {}
    for path in ["/proc/net/netstat", "/proc/net/snmp"]:
        with open(path) as lines:
            rows = [line.split() for line in lines]
        for names, values in zip(rows[::2], rows[1::2]):
            if names[0] not in ("MPTcpExt:", "TcpExt:", "Tcp:"):
                continue
            group = answer.setdefault(names[0][:-1], {})
            for name, value in zip(names[1:], values[1:]):
                group[name] = int(value)
    return answer


def sysctl(command):
    for name, value in command["values"].items():
        with open("/proc/sys/" + name.replace(".", "/"), "w") as out:
            out.write(str(value))
    return {}


commands = {
    f.__name__: f
    for f in [
        listen, accept, connect, connect_speaking, send, receive, load, send_loaded, collect, collected, sink, flood,
        echo, shutdown, close, info, inject, counters, sysctl,
    ]
}


def run(command, answers):
    try:
        answer = {"id": command["id"], "ok": commands[command["op"]](command)}
    except OSError as error:
        answer = {"id": command["id"], "error": str(error), "errno": error.errno}
    except Exception as error:  # noqa: BLE001 - told to the test, which fails
        answer = {"id": command["id"], "error": repr(error)}
    with lock:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def serve(order):
    """Commands in one namespace, until the other end hangs up."""
    control = socket.socket(socket.AF_UNIX)
    control.connect("\0" + order["socket"])
    answers = control.makefile("w")
    answers.write(json.dumps({"key": order["key"], "pid": os.getpid()}) + "\n")
    answers.flush()
    with open("/run/netns/" + order["namespace"]) as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    for line in control.makefile("r"):
        threading.Thread(target=run, args=(json.loads(line), answers), daemon=True).start()


CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    if os.fork() == 0:
        try:
            serve(json.loads(line))
        except Exception:  # noqa: BLE001 - told to the test, which fails
            traceback.print_exc()
        os._exit(0)
