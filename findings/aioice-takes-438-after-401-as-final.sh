#!/usr/bin/env bash
# aioice gives an allocation up when the answer to its first authenticated request is 438 (Stale Nonce).
#
# Package:  PyPI aioice 0.13.0 on CPython.
# Input:    a TURN server that answers the first Allocate with 401 and a nonce, the second (authenticated) one with 438 and a fresh
#           nonce, as a server does whose nonces are bound to the client's port when a NAT has chosen another one in between.
# Observed: the client sends two Allocate requests and raises TransactionFailed; it never tries the fresh nonce. RFC 8489, section
#           9.2.5, has a client retry with it. A lone 438, to a later request, it does answer. So a server must accept what it has
#           just handed out: one challenge per request is all that this client bears.
#
# Exits with 0 as long as that is so.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --quiet --disable-pip-version-check install aioice==0.13.0

"$work/venv/bin/python" - <<'PYTHON'
import asyncio, struct
import aioice
from aioice import stun, turn

print("aioice", aioice.__version__)
asked = []

class Server(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        request = stun.parse_message(data)
        signed = "USERNAME" in request.attributes
        asked.append((request.message_method.name, signed))
        response = stun.Message(request.message_method, stun.Class.ERROR, transaction_id=request.transaction_id)
        response.attributes["ERROR-CODE"] = (438, "Stale Nonce") if signed else (401, "Unauthorized")
        response.attributes["REALM"] = "example.org"
        response.attributes["NONCE"] = b"nonce%d" % len(asked)
        self.transport.sendto(bytes(response), address)

async def main():
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        await turn.create_turn_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", port), username="north", password="wind")
    except stun.TransactionFailed as error:
        print("gave up:", error)
        outcome = "gave up"
    print("requests:", asked)
    assert outcome == "gave up"
    assert asked == [("ALLOCATE", False), ("ALLOCATE", True)], asked

asyncio.run(main())
print("as described")
PYTHON
