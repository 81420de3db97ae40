# The kernel's end of a transfer that is measured: one Multipath TCP connection that sends as fast as it can, or
# receives and looks at nothing. Runs in the network namespace that tun-bed.ts made.
#
#   kernel_end.py listen  ADDRESS 0     flood|sink WARM_UP_SECONDS SECONDS
#   kernel_end.py connect ADDRESS PORT  flood|sink WARM_UP_SECONDS SECONDS
#   kernel_end.py plain   DEVICE...
#
# Prints "port N" once it listens. A sink prints "rate BYTES SECONDS" when its time is over, and ends; a flood ends
# with the other end or when it is told to (SIGTERM), and leaves nothing behind that the kernel would go on sending
# to a device that is gone. The third form turns segmentation, receive and checksum offload of devices off.

import fcntl
import os
import signal
import socket
import struct
import sys
import time
from ctypes import addressof, c_uint32

IPPROTO_MPTCP = 262
SIOCETHTOOL = 0x8946
# ETHTOOL_SRXCSUM, STXCSUM, SSG, STSO, SGSO, SGRO
OFFLOADS = [0x15, 0x17, 0x19, 0x1F, 0x24, 0x2C]
PIECE_BYTES = 256 * 1024

# Further subflows come to a socket that still listens.
listeners = []


def open_connection(role, address, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    # The default differs from machine to machine, and so does what it makes of a path without delay.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    if role == "connect":
        sock.connect((address, port))
        return sock
    sock.bind((address, port))
    sock.listen(1)
    listeners.append(sock)
    print("port", sock.getsockname()[1], flush=True)
    return sock.accept()[0]


def flood(sock):
    block = bytes(PIECE_BYTES)
    try:
        while True:
            sock.sendall(block)
    except (BrokenPipeError, ConnectionResetError):
        pass  # The sink has all it wanted.


def sink(sock, warm_up, seconds):
    into = bytearray(4 * PIECE_BYTES)
    receive_until(sock, into, time.monotonic() + warm_up)
    start = time.monotonic()
    count = receive_until(sock, into, start + seconds)
    print("rate", count, time.monotonic() - start, flush=True)


def receive_until(sock, into, end):
    count = 0
    while time.monotonic() < end:
        got = sock.recv_into(into)
        if got == 0:
            raise EOFError("the connection ended before its time")
        count += got
    return count


def turn_offload_off(device):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in OFFLOADS:
            # struct ethtool_value { command; data }
            value = (c_uint32 * 2)(command, 0)
            fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sQ16x", device.encode(), addressof(value)))


def main(role, *rest):
    if role == "plain":
        for device in rest:
            turn_offload_off(device)
        return
    address, port, work, warm_up, seconds = rest
    signal.alarm(int(float(warm_up) + float(seconds)) + 20)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    sock = open_connection(role, address, int(port))
    # Closing is a reset.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with sock:
        if work == "sink":
            sink(sock, float(warm_up), float(seconds))
        else:
            flood(sock)


main(*sys.argv[1:])
