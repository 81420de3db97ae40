# Flows of the kernel's TCP for `bench -- linux`: one process in each of two network namespaces. Commands are lines of
# JSON on standard input, answers lines of JSON on standard output. All times are seconds of the one monotonic clock.

import json
import os
import socket
import struct
import sys
import threading
import time

BLOCK = bytes(1 << 18)
SAMPLE_SECONDS = 0.1
SO_TIMESTAMPNS = 35
# struct tcp_info, of which: unacked, sacked, lost, retrans … rtt, ssthresh, cwnd, and bytes_acked behind.
INFO_BYTES = 232

write_lock = threading.Lock()


def answer(**values):
    with write_lock:
        sys.stdout.write(json.dumps(values) + "\n")
        sys.stdout.flush()


def info(sock):
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
    words = struct.unpack_from("<24I", raw, 8)
    rtt, ssthresh, cwnd = words[15], words[17], words[18]
    acked = struct.unpack_from("<Q", raw, 120)[0]
    retransmitted = words[23]
    return [acked, cwnd, min(ssthresh, 99999), rtt, retransmitted]


def listen(command):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((command["address"], command["port"]))
    sock.listen(16)
    threading.Thread(target=accept, args=(sock,), daemon=True).start()
    answer(id=command["id"])


def accept(listener):
    while True:
        sock, peer = listener.accept()
        threading.Thread(target=receive, args=(sock, peer), daemon=True).start()


def receive(sock, peer):
    into = bytearray(1 << 16)
    count = 0
    last = None
    try:
        while True:
            got = sock.recv_into(into, 0, socket.MSG_WAITALL)
            if got == 0:
                break
            count += got
            last = time.monotonic()
    except OSError:
        pass
    answer(received=count, last=last, address=peer[0], port=peer[1])
    sock.close()


def opened(command):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, command["congestion"].encode())
    sock.bind((command["local"], 0))
    called = time.monotonic()
    sock.connect((command["address"], command["port"]))
    return sock, called


def bulk(command):
    """Sends as fast as it may for so many seconds, and looks at the socket meanwhile."""
    sock, _ = opened(command)
    port = sock.getsockname()[1]
    start = time.monotonic()
    end = start + command["seconds"]
    sender = threading.Thread(target=flood, args=(sock,), daemon=True)
    sender.start()
    samples = []
    due = start
    while True:
        due += SAMPLE_SECONDS
        pause = min(due, end) - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        samples.append([round(time.monotonic() - start, 4)] + info(sock))
        if due >= end:
            break
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Ends the sender's wait, and with it the connection.
    sock.shutdown(socket.SHUT_RDWR)
    sender.join()
    sock.close()
    answer(id=command["id"], port=port, samples=samples)


def flood(sock):
    try:
        while True:
            sock.send(BLOCK)
    except OSError:
        pass


def transfer(command):
    sock, called = opened(command)
    port = sock.getsockname()[1]
    sock.sendall(bytes(command["bytes"]))
    sock.shutdown(socket.SHUT_WR)
    answer(id=command["id"], port=port, called=called)
    # Until the peer has everything, and has closed.
    sock.recv(1)
    sock.close()


def echo(command):
    """Round trips in ms of ICMP, which the other kernel answers by itself, as it does data."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sock.bind((command["local"], 0))
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.settimeout(1)
    trips = []
    for number in range(command["count"]):
        body = struct.pack("!BBHHH", 8, 0, 0, os.getpid() & 0xFFFF, number) + bytes(1000)
        total = sum(struct.unpack("!504H", body))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        body = body[:2] + struct.pack("!H", ~total & 0xFFFF) + body[4:]
        start = time.time_ns()
        sock.sendto(body, (command["address"], 0))
        try:
            while True:
                packet, ancillary, _, _ = sock.recvmsg(2048, 128)
                if struct.unpack("!H", packet[26:28])[0] == number:
                    break
        except socket.timeout:
            continue
        # When the kernel had it, not when this process was woken.
        seconds, nanoseconds = struct.unpack("<qq", ancillary[0][2][:16])
        trips.append((seconds * 10**9 + nanoseconds - start) / 1e6)
        time.sleep(command["pause"])
    answer(id=command["id"], trips=trips)


def run(command):
    try:
        {"listen": listen, "bulk": bulk, "transfer": transfer, "echo": echo}[command["op"]](command)
    except Exception as error:  # noqa: BLE001 - told to the bench, which fails
        answer(id=command["id"], error=repr(error))


for line in sys.stdin:
    threading.Thread(target=run, args=(json.loads(line),), daemon=True).start()
os._exit(0)
