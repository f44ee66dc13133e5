// Two werift peers with relay candidates only: `node werift.mjs HOST PORT USERNAME PASSWORD`.

import { RTCPeerConnection } from 'werift';

import { answer, exchange, run } from './messages.mjs';

const [, , host, port, username, credential] = process.argv;
const configuration = { iceServers: [{ urls: `turn:${host}:${port}`, username, credential }], iceTransportPolicy: 'relay' };
const [a, b] = [new RTCPeerConnection(configuration), new RTCPeerConnection(configuration)];

await run(async () => {
  const channel = a.createDataChannel('messages', { ordered: false, maxRetransmits: 0 });
  b.onDataChannel.subscribe((other) => other.onMessage.subscribe((data) => other.send(answer(data.toString()))));
  await a.setLocalDescription(await a.createOffer());
  await b.setRemoteDescription(a.localDescription);
  await b.setLocalDescription(await b.createAnswer());
  await a.setRemoteDescription(b.localDescription);
  if (channel.readyState !== 'open') {
    await channel.stateChanged.watch((state) => state === 'open', 60_000);
  }
  await exchange((text) => channel.send(text), (take) => channel.onMessage.subscribe((data) => take(data.toString())));
  // It gives no allocation back, whether or not it is closed.
});
