"""Relays messages through a TURN server with aioice: `interop_aioice.py HOST PORT USERNAME PASSWORD [MESSAGES]`.

Exchanges messages, 1,000 unless told otherwise, each way between a client and a peer outside, then between two clients, and prints one line
about each. Fails if a single message is lost, doubled, altered or out of order.
"""

import asyncio
import sys

from aioice import turn

MESSAGES = int(sys.argv[5]) if len(sys.argv) > 5 else 1000
# So few at a time that no socket buffer overflows: a loss is then the relay's.
BATCH = 16
# Far beyond what any machine needs: it ends a run that would otherwise wait forever.
PATIENCE = 60


class Endpoint(asyncio.DatagramProtocol):
    """Queues what arrives."""

    def __init__(self):
        self.received = asyncio.Queue()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.received.put_nowait((data, address))


class Echo(Endpoint):
    """Sends everything back."""

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


async def allocate(server, username, password):
    transport, endpoint = await turn.create_turn_endpoint(
        Endpoint, server_addr=server, username=username, password=password
    )
    return endpoint, transport.get_extra_info("sockname")


async def expect(endpoint, wanted, sender):
    """The next message that is not part of the greeting must be `wanted`, from `sender`."""
    while True:
        data, address = await asyncio.wait_for(endpoint.received.get(), PATIENCE)
        if data != b"hello":
            break
    if (data, address) != (wanted, sender):
        sys.exit(f"expected {wanted!r} from {sender}, got {data!r} from {address}")


async def greet(endpoint, peer):
    """Sends greetings until one arrives: then the channels on both sides are bound."""
    for _ in range(PATIENCE * 20):
        endpoint.transport.sendto(b"hello", peer)
        try:
            data, _ = await asyncio.wait_for(endpoint.received.get(), 0.05)
        except asyncio.TimeoutError:
            continue
        if data != b"hello":
            sys.exit(f"expected a greeting, got {data!r}")
        endpoint.transport.sendto(b"hello", peer)
        return
    sys.exit(f"no greeting arrived from {peer}")


def message(direction, number):
    """Messages of many lengths, so that every padding of ChannelData occurs."""
    return f"{direction} {number} ".encode() + bytes([number % 256]) * (number % 1100)


async def with_peer(server, username, password):
    client, relayed = await allocate(server, username, password)
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_datagram_endpoint(Echo, local_addr=(relayed[0], 0))
    address = peer.transport.get_extra_info("sockname")[:2]
    await greet(client, address)
    for start in range(0, MESSAGES, BATCH):
        numbers = range(start, min(start + BATCH, MESSAGES))
        for number in numbers:
            client.transport.sendto(message("echo", number), address)
        for number in numbers:
            await expect(client, message("echo", number), address)
    await nothing_left(client)
    client.transport.close()
    peer.transport.close()
    print(f"with a peer outside: {MESSAGES} messages each way")


async def between_clients(server, username, password):
    one, one_address = await allocate(server, username, password)
    two, two_address = await allocate(server, username, password)
    await asyncio.gather(greet(one, two_address), greet(two, one_address))
    for start in range(0, MESSAGES, BATCH):
        numbers = range(start, min(start + BATCH, MESSAGES))
        for number in numbers:
            one.transport.sendto(message("there", number), two_address)
            two.transport.sendto(message("back", number), one_address)
        for number in numbers:
            await expect(two, message("there", number), one_address)
            await expect(one, message("back", number), two_address)
    await nothing_left(one)
    await nothing_left(two)
    one.transport.close()
    two.transport.close()
    print(f"between two clients: {MESSAGES} messages each way")


async def nothing_left(endpoint):
    while not endpoint.received.empty():
        data, address = endpoint.received.get_nowait()
        if data != b"hello":
            sys.exit(f"left over: {data!r} from {address}")


async def main():
    host, port, username, password = sys.argv[1:5]
    server = (host, int(port))
    await with_peer(server, username, password)
    await between_clients(server, username, password)
    # Closing deletes the allocations in the background.
    pending = asyncio.all_tasks() - {asyncio.current_task()}
    if pending:
        await asyncio.wait(pending, timeout=PATIENCE)


asyncio.run(main())
