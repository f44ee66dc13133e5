#!/usr/bin/env bash
# coturn's test client reports success when not one packet came back.
#
# Package:  Debian 12's coturn 4.6.1-1 (turnserver and turnutils_uclient).
# Input:    turnutils_uclient relays 5 packets through turnserver to a peer at which nobody answers; both run on loopback.
# Observed: it prints "Total lost packets 5 (100.000000%)" and exits with 0. So a script that looks at its exit status passes although
#           nothing was relayed: only what it prints tells.
#
# Exits with 0 as long as that is so.
set -euo pipefail

work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work"

apt-get -qq update
if ! command -v turnutils_uclient >/dev/null; then
    # Its libraries come with it; the service that it installs is not needed.
    apt-get -qq install -y --no-install-recommends coturn=4.6.1-1 >/dev/null
fi
dpkg-query -W -f '${Package} ${Version}\n' coturn

port=34780
turnserver -n --listening-port "$port" --listening-ip 127.0.0.1 --relay-ip 127.0.0.1 --lt-cred-mech --user north:wind --realm example.org \
    --allow-loopback-peers --cli-password unused --no-tls --no-dtls --pidfile "$work/pid" --log-file "$work/log" >/dev/null 2>&1 &
server=$!
for _ in $(seq 200); do
    turnutils_stunclient -p "$port" 127.0.0.1 >/dev/null 2>&1 && break
    sleep 0.1
done

status=0
# Nobody answers at the discard port.
printed=$(timeout 60 turnutils_uclient -u north -w wind -p "$port" -e 127.0.0.1 -r 9 -n 5 -c 127.0.0.1 2>&1) || status=$?
grep -E "Total (lost|transmit)|tot_recv_msgs" <<<"$printed" | tail -n 3
echo "exit status: $status"

grep -q "Total lost packets 5 (100" <<<"$printed"
[ "$status" = 0 ]
echo "as described"
