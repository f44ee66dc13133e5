"""Two aiortc peers with relay candidates only: `aiortc_pair.py HOST PORT USERNAME PASSWORD`."""

import asyncio
import sys

from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection

MESSAGES = 1000
# So few at a time that no socket buffer overflows: a loss is then the relay's.
WINDOW = 16
# Far beyond what any machine needs: it ends a run that would otherwise wait for ever.
PATIENCE = 60


def message(direction, number):
    return f"{direction} {number} " + "x" * (number % 1000)


async def main():
    host, port, username, password = sys.argv[1:5]
    server = RTCIceServer(urls=f"turn:{host}:{port}", username=username, credential=password)
    configuration = RTCConfiguration([server], iceTransportPolicy=RTCIceTransportPolicy.RELAY)
    a, b = RTCPeerConnection(configuration), RTCPeerConnection(configuration)
    channel = a.createDataChannel("messages", ordered=False, maxRetransmits=0)
    opened = asyncio.Event()
    answers = asyncio.Queue()
    channel.on("open", opened.set)
    channel.on("message", answers.put_nowait)

    @b.on("datachannel")
    def on_channel(other):
        @other.on("message")
        def on_message(text):
            other.send(message("back", int(text.split(" ")[1])))

    await a.setLocalDescription(await a.createOffer())
    await b.setRemoteDescription(a.localDescription)
    await b.setLocalDescription(await b.createAnswer())
    await a.setRemoteDescription(b.localDescription)
    await asyncio.wait_for(opened.wait(), PATIENCE)
    for start in range(0, MESSAGES, WINDOW):
        numbers = range(start, min(start + WINDOW, MESSAGES))
        for number in numbers:
            channel.send(message("there", number))
        expected = {message("back", number) for number in numbers}
        while expected:
            expected.remove(await asyncio.wait_for(answers.get(), PATIENCE))
    await a.close()
    await b.close()
    print(f"{MESSAGES} messages each way")


asyncio.run(main())
