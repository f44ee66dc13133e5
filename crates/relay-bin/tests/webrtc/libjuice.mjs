// Two peers of libdatachannel, whose ICE and TURN are libjuice, with relay candidates only: `node libjuice.mjs HOST PORT USERNAME PASSWORD`.

import nodeDataChannel from 'node-datachannel';

import { answer, exchange, run } from './messages.mjs';

const [, , hostname, port, username, password] = process.argv;
const configuration = {
  iceServers: [{ hostname, port: Number(port), username, password, relayType: 'TurnUdp' }],
  iceTransportPolicy: 'relay',
  bindAddress: hostname,
};

/** Brings what `from` learns of itself to `to`, the description first. */
function signal(from, to) {
  let described = false;
  const early = [];
  from.onLocalDescription((sdp, type) => {
    to.setRemoteDescription(sdp, type);
    described = true;
    early.splice(0).forEach((candidate) => to.addRemoteCandidate(...candidate));
  });
  from.onLocalCandidate((...candidate) => (described ? to.addRemoteCandidate(...candidate) : early.push(candidate)));
}

await run(async () => {
  const [a, b] = ['a', 'b'].map((name) => new nodeDataChannel.PeerConnection(name, configuration));
  signal(a, b);
  signal(b, a);
  let other;
  b.onDataChannel((channel) => {
    other = channel;
    other.onMessage((text) => other.sendMessage(answer(text)));
  });
  const channel = a.createDataChannel('messages', { unordered: true, maxRetransmits: 0 });
  await new Promise((resolve, reject) => {
    channel.onOpen(resolve);
    setTimeout(() => reject(new Error(`not connected: ${a.state()}, ${b.state()}`)), 60_000);
  });
  await exchange((text) => channel.sendMessage(text), (take) => channel.onMessage(take));
});
