#!/usr/bin/env bash
# With IP_RECVERR on an unconnected UDP socket, the ICMP error that one destination causes fails the next send to any other, and
# the datagram that meets it is not sent. In the middle of a sendmmsg the error is told to nobody: the call returns a smaller count.
#
# Versions: Linux (seen on 6.18, x86-64), CPython's socket module and ctypes.
# Input:    one unconnected socket with IP_RECVERR on loopback; a datagram to a port that nobody has, then one to a port that somebody has,
#           by sendto. Then three by one sendmmsg: to the open port, to the closed one, to the open one.
# Observed: the second sendto fails with ECONNREFUSED, though its destination is open, and nothing arrives; repeated, it is sent. On
#           loopback the error comes while sendmmsg is at work: it returns 2, not 3 and not -1, the third datagram is not sent, and
#           the next send succeeds. In both cases the queue of errors (MSG_ERRQUEUE) holds the error with its true destination.
#
# Without IP_RECVERR an unconnected socket hears of neither. Needs no root. Exits with 0 as long as that is so.
set -euo pipefail

uname -r
python3 - <<'PYTHON'
import ctypes, errno, os, select, socket, struct

IP_RECVERR = 11
libc = ctypes.CDLL(None, use_errno=True)

class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]

class Msghdr(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32), ("iov", ctypes.POINTER(Iovec)), ("iovlen", ctypes.c_size_t),
                ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int)]

class Mmsghdr(ctypes.Structure):
    _fields_ = [("hdr", Msghdr), ("len", ctypes.c_uint32)]

def sendmmsg(sock, addresses):
    kept, messages = [], (Mmsghdr * len(addresses))()
    for message, (host, port) in zip(messages, addresses):
        name = ctypes.create_string_buffer(struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(host) + bytes(8))
        data = ctypes.create_string_buffer(b"data", 4)
        iov = Iovec(ctypes.addressof(data), 4)
        kept += [name, data, iov]
        message.hdr = Msghdr(ctypes.addressof(name), 16, ctypes.pointer(iov), 1, None, 0, 0)
    return libc.sendmmsg(sock.fileno(), messages, len(addresses), 0)

def attempt(sock, to):
    try:
        return sock.sendto(b"data", to)
    except OSError as error:
        return errno.errorcode[error.errno]

def arrived(sock):
    count = 0
    while select.select([sock], [], [], 0.2)[0]:
        sock.recv(100)
        count += 1
    return count

def errors(sock):
    found = []
    while True:
        try:
            _, _, _, to = sock.recvmsg(100, 1000, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return found
        found.append(to)

def udp():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock

receiver, gone = udp(), udp()
opened, closed = receiver.getsockname(), gone.getsockname()
gone.close()

sender = udp()
sender.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
first = attempt(sender, closed)
select.select([], [], [sender], 0.2)
second, third = attempt(sender, opened), attempt(sender, opened)
count = arrived(receiver)
print("sendto closed, open, open:", first, second, third, "- arrived:", count, "- errors:", errors(sender) == [closed])
assert (first, second, third, count) == (4, "ECONNREFUSED", 4, 1)

sender = udp()
sender.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
sent = sendmmsg(sender, [opened, closed, opened])
after = attempt(sender, opened)
count = arrived(receiver)
told = errors(sender)
print("sendmmsg of open, closed, open:", sent, "- then:", after, "- arrived:", count, "- errors:", told == [closed])
assert (sent, after, count, told) == (2, 4, 2, [closed])

plain = udp()
first = attempt(plain, closed)
select.select([], [], [plain], 0.2)
second = attempt(plain, opened)
print("without IP_RECVERR:", first, second)
assert (first, second) == (4, 4)
PYTHON
echo "as described"
