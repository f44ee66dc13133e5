#!/usr/bin/env bash
# One UDP_SEGMENT send takes 128 segments, not the 64 of most texts and libraries, and a segment above the MTU fails the whole send.
#
# Versions: Linux 6.9 and later (seen on 6.18, x86-64), CPython's socket module. UDP_MAX_SEGMENTS was 64 before.
# Input:    a UDP socket on loopback, UDP_SEGMENT set to 100 bytes, one send of 128 and one of 129 times as many; the same with a
#           segment of 70,000 bytes more than loopback's MTU allows is impossible, so the second part lowers the MTU of a virtual device.
# Observed: 128 segments are sent and arrive as 128 datagrams; 129 are refused with EINVAL, and nothing is sent. On a device with an MTU
#           of 1,280 a segment of 1,400 bytes is refused with EMSGSIZE although the same payload without UDP_SEGMENT would be
#           fragmented and sent.
#
# Needs root for that device, in a network namespace of its own. Exits with 0 as long as that is so.
set -euo pipefail

uname -r
unshare --net bash -euc '
ip link set lo up
ip link add small type veth peer name other && ip link set other up && ip link set small mtu 1280 up && ip address add 192.0.2.1/24 dev small
python3 - <<PYTHON
import errno, socket

UDP_SEGMENT = 103

def try_send(sock, payload, to):
    try:
        return sock.sendto(payload, to)
    except OSError as error:
        return errno.errorcode[error.errno]

receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
receiver.settimeout(1)
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.setsockopt(socket.SOL_UDP if hasattr(socket, "SOL_UDP") else 17, UDP_SEGMENT, 100)
most = try_send(sender, bytes(128 * 100), receiver.getsockname())
more = try_send(sender, bytes(129 * 100), receiver.getsockname())
arrived = 0
try:
    while True:
        assert len(receiver.recv(200)) == 100
        arrived += 1
except TimeoutError:
    pass
print("128 segments:", most, "- 129 segments:", more, "- arrived:", arrived)
assert (most, more, arrived) == (12800, "EINVAL", 128)

plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
whole = try_send(plain, bytes(2 * 1400), ("192.0.2.2", 9))
sender.setsockopt(17, UDP_SEGMENT, 1400)
segments = try_send(sender, bytes(2 * 1400), ("192.0.2.2", 9))
print("MTU 1280, 2,800 bytes whole:", whole, "- as two segments:", segments)
assert (whole, segments) == (2800, "EMSGSIZE")
PYTHON'
echo "as described"
