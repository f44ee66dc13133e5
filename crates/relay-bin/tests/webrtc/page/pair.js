// Two peers of this browser that talk through a relay. What to do is asked of the server, and how it went is told to it.

import { answer, exchange } from './messages.mjs';

const PATIENCE = 60_000;

/** Rejects if `promise` has not ended after the time that any machine needs. */
function within(promise, what) {
  return Promise.race([promise, new Promise((_, reject) => setTimeout(() => reject(new Error(`${what} takes too long`)), PATIENCE))]);
}

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

function until(target, event, holds) {
  return new Promise((resolve) => {
    const look = () => {
      if (holds()) {
        target.removeEventListener(event, look);
        resolve();
      }
    };
    target.addEventListener(event, look);
    look();
  });
}

/** A candidate's relayed transport address. */
const place = ({ address, port }) => `${address}:${port}`;

const isV6 = ({ address }) => address?.includes(':');

class Call {
  /** What went wrong while candidates were gathered. */
  errors = [];
  /** The candidates of each side. */
  candidates = { a: [], b: [] };

  constructor(servers, keepBack) {
    this.a = this.#peer('a', servers.a);
    this.b = this.#peer('b', servers.b);
    // b's IPv6 candidates, if a is not to learn of them by itself.
    this.keptBack = [];
    this.keepBack = keepBack;
    this.#signal('a', this.a, this.b);
    this.#signal('b', this.b, this.a);
    this.channel = this.a.createDataChannel('messages', { ordered: false, maxRetransmits: 0 });
    this.b.ondatachannel = ({ channel }) => {
      channel.onmessage = ({ data }) => channel.send(answer(data));
    };
  }

  #peer(name, iceServers) {
    const peer = new RTCPeerConnection({ iceServers, iceTransportPolicy: 'relay' });
    peer.addEventListener('icecandidateerror', ({ errorCode, errorText, url }) => this.errors.push(`${name}: ${errorCode} ${errorText} ${url}`));
    return peer;
  }

  #signal(name, from, to) {
    from.addEventListener('icecandidate', ({ candidate }) => {
      if (!candidate?.candidate) return;
      this.candidates[name].push(place(candidate));
      if (this.keepBack && name === 'b' && isV6(candidate)) this.keptBack.push(candidate);
      else to.addIceCandidate(candidate);
    });
  }

  async negotiate(options) {
    await this.a.setLocalDescription(await this.a.createOffer(options));
    await this.b.setRemoteDescription(this.a.localDescription);
    await this.b.setLocalDescription(await this.b.createAnswer());
    await this.a.setRemoteDescription(this.b.localDescription);
  }

  /** Resolves once both are connected, rejects once either has failed. */
  connected() {
    const both = [this.a, this.b];
    return within(
      Promise.race([
        Promise.all(both.map((peer) => until(peer, 'connectionstatechange', () => peer.connectionState === 'connected'))),
        Promise.race(both.map((peer) => until(peer, 'connectionstatechange', () => peer.connectionState === 'failed'))).then(() => {
          throw new Error(`the connection failed; candidates ${JSON.stringify(this.candidates)}, errors ${JSON.stringify(this.errors)}`);
        }),
        Promise.all(both.map((peer) => until(peer, 'icegatheringstatechange', () => peer.iceGatheringState === 'complete'))).then(() => {
          // A browser without candidates stays as it is for ever.
          if (Object.values(this.candidates).flat().length > 0) return new Promise(() => {});
          throw new Error(`the relay gave no candidates; errors ${JSON.stringify(this.errors)}`);
        }),
      ]),
      `connecting (${this.a.iceConnectionState}, ${this.b.iceConnectionState}) `,
    );
  }

  async messages(count) {
    await within(until(this.channel, 'open', () => this.channel.readyState === 'open'), 'opening the channel');
    await exchange((text) => this.channel.send(text), (take) => (this.channel.onmessage = ({ data }) => take(data)), count);
  }

  /** The pair of candidates in use, as a sees it. */
  async pair() {
    const stats = [...(await this.a.getStats()).values()];
    const transport = stats.find((entry) => entry.type === 'transport' && entry.selectedCandidatePairId);
    const pair = stats.find((entry) => entry.type === 'candidate-pair' && (transport ? entry.id === transport.selectedCandidatePairId : entry.selected || (entry.nominated && entry.state === 'succeeded')));
    const [local, remote] = [pair.localCandidateId, pair.remoteCandidateId].map((id) => stats.find((entry) => entry.id === id));
    if (local.candidateType !== 'relay') throw new Error(`a ${local.candidateType} candidate is in use`);
    return { local: place(local), remote: place(remote) };
  }

  /** Resolves once a has a pair that works over IPv6. */
  async worksOverIpv6() {
    for (;;) {
      const stats = [...(await this.a.getStats()).values()];
      const locals = stats.filter((entry) => entry.type === 'local-candidate' && isV6(entry)).map((entry) => entry.id);
      if (stats.some((entry) => entry.type === 'candidate-pair' && entry.state === 'succeeded' && locals.includes(entry.localCandidateId))) return;
      await sleep(0.1);
    }
  }

  /** Sends video both ways for so many seconds and returns what arrived in each. */
  async video(seconds) {
    const media = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 }, audio: true });
    for (const peer of [this.a, this.b]) for (const track of media.getTracks()) peer.addTrack(track, media);
    await this.negotiate();
    const sums = [];
    const frames = async (peer) => {
      const video = [...(await peer.getStats()).values()].find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'video');
      return video ?? { framesDecoded: 0, packetsReceived: 0, packetsLost: 0 };
    };
    await within((async () => {
      while ((await frames(this.a)).framesDecoded === 0 || (await frames(this.b)).framesDecoded === 0) await sleep(0.1);
    })(), 'the first frame');
    const before = [await frames(this.a), await frames(this.b)];
    await sleep(seconds);
    const after = [await frames(this.a), await frames(this.b)];
    for (const [index, side] of ['a', 'b'].entries()) {
      const grown = (name) => after[index][name] - before[index][name];
      sums.push({ side, frames: grown('framesDecoded'), packets: grown('packetsReceived'), lost: grown('packetsLost') });
    }
    return sums;
  }
}

async function main() {
  const settings = await (await fetch('settings.json')).json();
  const report = {};
  const call = new Call(settings, settings.keepBack);
  try {
    await call.negotiate();
    await call.connected();
    await call.messages(settings.messages);
    report.pair = await call.pair();
    if (settings.video) report.video = await call.video(settings.video);
    if (settings.expire) {
      // The credentials end while the call lasts; then a hears of another address of its peer, and needs a permission for it.
      await sleep(Math.max(0, settings.expire - Date.now() / 1000 + 1));
      if (call.keptBack.length === 0) throw new Error('no candidate was kept back');
      for (const candidate of call.keptBack) await call.a.addIceCandidate(candidate);
      await within(call.worksOverIpv6(), 'the pair with another address');
      await call.messages(settings.messages);
    }
    if (settings.restart) {
      call.keepBack = false;
      for (const name of ['a', 'b']) call[name].setConfiguration({ iceServers: settings.restart[name], iceTransportPolicy: 'relay' });
      await call.negotiate({ iceRestart: true });
      await within((async () => {
        // One side's new candidate works with the other's old one for a moment.
        do {
          await sleep(0.1);
          report.newPair = await call.pair();
        } while (report.newPair.local === report.pair.local || report.newPair.remote === report.pair.remote);
      })(), 'the new pair');
      await call.messages(settings.messages);
    }
    report.ok = true;
  } catch (error) {
    report.ok = false;
    report.error = `${error.message ?? error}`;
  }
  report.candidates = call.candidates;
  report.errors = call.errors;
  report.states = [call.a.connectionState, call.b.connectionState];
  call.a.close();
  call.b.close();
  // Its allocations are given back in the background.
  await sleep(0.5);
  await fetch('result', { method: 'POST', body: JSON.stringify(report) });
}

main().catch((error) => fetch('result', { method: 'POST', body: JSON.stringify({ ok: false, error: `${error}` }) }));
