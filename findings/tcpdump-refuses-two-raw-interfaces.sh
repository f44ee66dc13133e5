#!/usr/bin/env bash
# tcpdump refuses a pcapng file with two interfaces of link type RAW.
#
# Packages: Debian 12's tcpdump 4.99.3-1 with libpcap0.8 1.10.3-1, and tshark 4.0 (any 4.0.x of Debian 12) for comparison.
# Input:    a pcapng file (draft-ietf-opsawg-pcapng) with one section, two interface descriptions of LINKTYPE_RAW (101) and one
#           packet on each. Both interfaces have the same link type, so a reader that allows one type per file has no reason to object.
# Observed: tcpdump reads the first interface and then stops: "an interface has a type 101 different from the type of the first
#           interface". libpcap maps the first interface's 101 to the host's DLT_RAW (12) and compares the second one's 101
#           unmapped. tshark reads both packets. With LINKTYPE_ETHERNET (1), whose number needs no mapping, tcpdump reads both.
#
# Exits with 0 as long as all of that is so.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

apt-get -qq update
apt-get -qq download tcpdump=4.99.3-1 libpcap0.8=1.10.3-1
for package in ./*.deb; do dpkg -x "$package" root; done
tcpdump=$(find root -name tcpdump -type f -perm -u+x | head -n 1)
LD_LIBRARY_PATH=$(dirname "$(find "$PWD/root" -name 'libpcap.so.*' | head -n 1)")
export LD_LIBRARY_PATH
command -v tshark >/dev/null || { echo "tshark is needed for the comparison (apt-get install tshark)" >&2; exit 2; }

python3 - <<'PYTHON'
import struct

def block(kind, body):
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length

def section(link_type, frame):
    data = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    data += 2 * block(1, struct.pack("<HHI", link_type, 0, 0))
    for interface in (0, 1):
        data += block(6, struct.pack("<IIIII", interface, 0, 0, len(frame), len(frame)) + frame)
    return data

ip = bytes.fromhex("4500001d000000004011f2cdc0000201c0000202") + struct.pack("!HHHH", 1000, 2000, 9, 0) + b"x"
open("raw.pcapng", "wb").write(section(101, ip))
open("ethernet.pcapng", "wb").write(section(1, bytes(12) + b"\x08\x00" + ip))
PYTHON

"$tcpdump" --version 2>&1 | head -n 2
raw=$("$tcpdump" -nr raw.pcapng 2>&1 || true)
ethernet=$("$tcpdump" -nr ethernet.pcapng 2>/dev/null)
read_by_tshark=$(tshark -nr raw.pcapng 2>/dev/null | wc -l)
printf '%s\n' "tcpdump, RAW:" "$raw" "tcpdump, Ethernet:" "$ethernet" "tshark, RAW: $read_by_tshark packets"

grep -q "an interface has a type 101 different from the type of the first interface" <<<"$raw"
[ "$(grep -c UDP <<<"$ethernet")" = 2 ]
[ "$read_by_tshark" = 2 ]
echo "as described"
