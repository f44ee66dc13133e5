#!/usr/bin/env bash
# libjuice copies the nonce cookie of a server that offers password algorithms, and does not answer the offer.
#
# Package:  npm node-datachannel 0.33.4 (libdatachannel with libjuice) on Node.js.
# Input:    a TURN server whose 401 lists SHA-256 and MD5 in PASSWORD-ALGORITHMS, with a NONCE that begins with the nonce cookie whose bit
#           "Password algorithms" is set: the leftmost of 24 bits, as RFC 8489, section 18.1, says; and in a second run the rightmost but
#           no other, since the sample of appendix B.1 counts its bits from there.
# Observed: the next Allocate copies the NONCE with the cookie, has neither PASSWORD-ALGORITHMS nor PASSWORD-ALGORITHM, and is signed with
#           MESSAGE-INTEGRITY, which is HMAC-SHA1. RFC 8489, section 9.2.5, has a request after such a challenge contain both. So a server that
#           offers SHA-256 must take a request with its own cookie and without an algorithm for one of MD5 (as section 9.2.4 says), and not for
#           one from which somebody has removed the attributes.
#
# Exits with 0 as long as that is so.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund node-datachannel@0.33.4

cat >offer.mjs <<'JAVASCRIPT'
import assert from 'node:assert';
import dgram from 'node:dgram';
import nodeDataChannel from 'node-datachannel';

console.log('libdatachannel', nodeDataChannel.getLibraryVersion());

const [ERROR_CODE, REALM, NONCE, PASSWORD_ALGORITHMS] = [0x0009, 0x0014, 0x0015, 0x8002];
const [MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256, PASSWORD_ALGORITHM] = [0x0008, 0x001c, 0x001d];

function attribute(kind, value) {
  const header = Buffer.alloc(4);
  header.writeUInt16BE(kind, 0);
  header.writeUInt16BE(value.length, 2);
  return Buffer.concat([header, value, Buffer.alloc(-value.length & 3)]);
}

function attributes(message) {
  const found = new Map();
  for (let at = 20; at < message.length; ) {
    const length = message.readUInt16BE(at + 2);
    found.set(message.readUInt16BE(at), message.subarray(at + 4, at + 4 + length));
    at += 4 + length + (-length & 3);
  }
  return found;
}

/** What the first Allocate with a NONCE holds, after a challenge with this nonce. */
function answerTo(nonce) {
  return new Promise((resolve) => {
    const server = dgram.createSocket('udp4');
    server.on('message', (request, from) => {
      if (request.length < 20 || request.readUInt16BE(0) !== 0x0003) return;
      if (attributes(request).has(NONCE)) {
        server.close();
        peer.close();
        resolve(attributes(request));
        return;
      }
      const body = Buffer.concat([
        attribute(ERROR_CODE, Buffer.from([0, 0, 4, 1])),
        attribute(REALM, Buffer.from('example.org')),
        attribute(NONCE, Buffer.from(nonce)),
        attribute(PASSWORD_ALGORITHMS, Buffer.from([0, 2, 0, 0, 0, 1, 0, 0])),
      ]);
      const header = Buffer.from(request.subarray(0, 20));
      header.writeUInt16BE(0x0113, 0);
      header.writeUInt16BE(body.length, 2);
      server.send(Buffer.concat([header, body]), from.port, from.address);
    });
    let peer;
    server.bind(0, '127.0.0.1', () => {
      peer = new nodeDataChannel.PeerConnection('peer', {
        iceServers: [
          { hostname: '127.0.0.1', port: server.address().port, username: 'north', password: 'wind', relayType: 'TurnUdp' },
        ],
        bindAddress: '127.0.0.1',
      });
      peer.onLocalDescription(() => {});
      peer.onLocalCandidate(() => {});
      peer.createDataChannel('any');
    });
  });
}

for (const cookie of ['obMatJos2gAAA', 'obMatJos2AAAB']) {
  const nonce = `${cookie}0123456789ab`;
  const answer = await answerTo(nonce);
  const kinds = [...answer.keys()].map((kind) => `0x${kind.toString(16).padStart(4, '0')}`);
  console.log(nonce, '->', kinds.join(' '));
  assert.equal(answer.get(NONCE).toString(), nonce);
  assert.ok(answer.has(MESSAGE_INTEGRITY) && !answer.has(MESSAGE_INTEGRITY_SHA256));
  assert.ok(!answer.has(PASSWORD_ALGORITHMS) && !answer.has(PASSWORD_ALGORITHM));
}
console.log('as described');
process.exit(0);
JAVASCRIPT
timeout 60 node offer.mjs
