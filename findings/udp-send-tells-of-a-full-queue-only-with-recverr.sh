#!/usr/bin/env bash
# A UDP send that the queue of the interface drops succeeds, unless the socket has asked for the error queue.
#
# Program:  the Linux kernel, tried on 6.18; iproute2 6.1.0 and Python 3 of Debian. Needs root, or user namespaces.
# Input:    one end of a pair of interfaces (veth), whose queueing discipline (tbf) holds one packet and a half, and 50 datagrams of 1,000 bytes to an address
#           behind it, from a socket as it is made, and from one with IP_RECVERR.
# Observed: without IP_RECVERR all 50 calls of sendto succeed, though `tc -s qdisc` counts nearly 50 drops. With IP_RECVERR they fail with
#           ENOBUFS, and each call that fails is a packet that was dropped. So an option that is there to read ICMP errors decides whether
#           a program learns of a full queue, and one that has never seen ENOBUFS meets it on the day it asks for ICMP errors.
#
# Exits with 0 as long as that is so.
set -euo pipefail

if [ "${1-}" != inside ]; then
    command -v tc >/dev/null || { echo "needs tc (Debian: apt-get install iproute2)"; exit 2; }
    if [ "$(id -u)" = 0 ]; then exec unshare --net "$0" inside; fi
    exec unshare --map-root-user --net "$0" inside
fi

echo "Linux $(uname -r)"
ip link set lo up
ip link add out0 type veth peer name in0
ip addr add 192.0.2.1/24 dev out0
ip link set in0 up
ip link set out0 up
ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev out0
tc qdisc add dev out0 root tbf rate 8kbit burst 1540 limit 1540

python3 - <<'PYTHON'
import errno, re, socket, subprocess

IP_RECVERR = 11
DATAGRAMS = 50


def dropped():
    shown = subprocess.run(["tc", "-s", "qdisc", "show", "dev", "out0"], capture_output=True, text=True, check=True)
    return int(re.search(r"dropped (\d+)", shown.stdout).group(1))


def send(asks):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.setsockopt(socket.IPPROTO_IP, IP_RECVERR, int(asks))
        before, refused = dropped(), 0
        for _ in range(DATAGRAMS):
            try:
                out.sendto(bytes(1000), ("192.0.2.2", 9))
            except OSError as error:
                assert error.errno == errno.ENOBUFS, error
                refused += 1
        return refused, dropped() - before


for asks in (False, True):
    refused, lost = send(asks)
    print(f"IP_RECVERR {'on' if asks else 'off'}: {refused} of {DATAGRAMS} sends refused, {lost} packets dropped")
    assert lost > DATAGRAMS // 2, "the queue was not full"
    assert refused == (lost if asks else 0), "this kernel tells otherwise"
PYTHON
