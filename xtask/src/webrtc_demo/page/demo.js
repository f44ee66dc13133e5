// Two peers in this page that talk through the relay, what they see, and, where a step fails, which one and why.

import * as explain from './explain.js';
import { growth, read, show } from './metrics.js';
import { picture } from './picture.js';

const $ = (id) => document.getElementById(id);

const STEPS = [
  ['relay', 'Relay runs'],
  ['gather', 'Allocations'],
  ['path', 'Path'],
  ['encryption', 'Encryption'],
  ['messages', 'Messages'],
  ['video', 'Video'],
];

/** How long a step may take before the page says that it failed, in seconds. */
const LIMITS = { relay: 5, gather: 15, path: 25, encryption: 15, messages: 10, video: 20 };

/** How often a message is sent, in ms, and after how long one without an answer counts as lost. */
const MESSAGE_INTERVAL = 50;
const LOST_AFTER = 2000;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A step of the call failed; `reason` says why. */
class Failure extends Error {
  constructor(step, reason) {
    super(reason.title);
    Object.assign(this, { step, reason });
  }
}

function log(text) {
  $('log').textContent += `${new Date().toISOString().slice(11, 23)}  ${text}\n`;
}

function verdict(state, title, text = '') {
  $('verdict').dataset.state = state;
  $('verdict').firstElementChild.textContent = title;
  // What stands between backticks is code.
  $('verdict').lastElementChild.replaceChildren(...text.split('`').map((part, index) => (index % 2 ? Object.assign(document.createElement('code'), { textContent: part }) : part)));
  log(`${title} ${text}`);
}

function step(name, state, detail = '') {
  const item = $(`step-${name}`);
  item.dataset.state = state;
  item.lastElementChild.textContent = detail;
}

/** A line of the last minute's values. */
class Line {
  #values = [];
  constructor(id) {
    this.canvas = $(id);
  }
  add(value) {
    this.#values = [...this.#values, value].slice(-60);
    const { width, height } = this.canvas;
    const context = this.canvas.getContext('2d');
    const top = Math.max(...this.#values, 1) * 1.1;
    context.clearRect(0, 0, width, height);
    context.strokeStyle = getComputedStyle(document.body).getPropertyValue('color');
    context.lineWidth = 1.5;
    context.beginPath();
    this.#values.forEach((one, index) => context.lineTo((index * width) / 59, height - 2 - (one / top) * (height - 4)));
    context.stroke();
  }
}

class Call {
  errors = [];
  candidates = { a: [], b: [] };
  sent = new Map();
  round = { lost: 0, answered: 0, times: [] };
  ended = false;

  constructor(server, before) {
    this.before = before;
    this.now = before;
    // Bundled from the start: Firefox otherwise allocates more often, until the other side has answered.
    const configuration = { iceServers: [server], iceTransportPolicy: 'relay', bundlePolicy: 'max-bundle' };
    this.a = new RTCPeerConnection(configuration);
    this.b = new RTCPeerConnection(configuration);
    this.#signal('a', this.a, this.b);
    this.#signal('b', this.b, this.a);
    // Unreliable: a lost packet shows as a lost message.
    this.channel = this.a.createDataChannel('messages', { ordered: false, maxRetransmits: 0 });
    this.channel.onmessage = ({ data }) => this.#answered(Number(data));
    this.b.ondatachannel = ({ channel }) => (channel.onmessage = ({ data }) => channel.readyState === 'open' && channel.send(data));
    this.a.ontrack = ({ streams }) => ($('video-a').srcObject = streams[0]);
    this.b.ontrack = ({ streams }) => ($('video-b').srcObject = streams[0]);
  }

  #signal(name, from, to) {
    from.onicecandidate = ({ candidate }) => {
      if (!candidate?.candidate) return;
      const [, , , , address, port, , type] = candidate.candidate.split(' ');
      this.candidates[name].push(address);
      log(`Peer ${name.toUpperCase()} has a ${type} candidate at ${address} port ${port}.`);
      to.addIceCandidate(candidate).catch((error) => log(`A candidate was refused: ${error.message}`));
    };
    from.onicecandidateerror = (error) => {
      this.errors.push(error);
      log(`Peer ${name.toUpperCase()}: ${error.url} answered ${error.errorCode} ${error.errorText}`);
    };
    from.onconnectionstatechange = () => log(`Peer ${name.toUpperCase()} is ${from.connectionState}.`);
  }

  addPictures(pictures) {
    this.pictures = pictures;
    for (const [peer, stream] of [[this.a, pictures[0]], [this.b, pictures[1]]]) {
      for (const track of stream.getTracks()) peer.addTrack(track, stream);
    }
  }

  async negotiate(options) {
    await this.a.setLocalDescription(await this.a.createOffer(options));
    await this.b.setRemoteDescription(this.a.localDescription);
    await this.b.setLocalDescription(await this.b.createAnswer());
    await this.a.setRemoteDescription(this.b.localDescription);
  }

  /** How much a counter of the relay has grown since the call began. */
  grown = (name, words) => growth(this.before, this.now, name, words);

  message() {
    if (this.channel.readyState !== 'open') return;
    const number = (this.number = (this.number ?? 0) + 1);
    this.sent.set(number, performance.now());
    this.channel.send(String(number));
  }

  #answered(number) {
    const sent = this.sent.get(number);
    if (sent === undefined) return;
    this.sent.delete(number);
    this.round.answered++;
    this.round.times.push(performance.now() - sent);
  }

  countLost() {
    for (const [number, sent] of this.sent) {
      if (performance.now() - sent < LOST_AFTER) return;
      this.sent.delete(number);
      this.round.lost++;
    }
  }

  close() {
    this.ended = true;
    this.a.close();
    this.b.close();
    for (const stream of this.pictures ?? []) stream.getTracks().forEach((track) => track.stop());
  }
}

const stats = async (peer) => [...(await peer.getStats()).values()];

/** The pair of candidates in use, with the candidates themselves. */
function chosen(entries) {
  const transport = entries.find((entry) => entry.type === 'transport' && entry.selectedCandidatePairId);
  const isChosen = (entry) => (transport ? entry.id === transport.selectedCandidatePairId : entry.selected || (entry.nominated && entry.state === 'succeeded'));
  const pair = entries.find((entry) => entry.type === 'candidate-pair' && isChosen(entry));
  if (!pair) return null;
  const [local, remote] = [pair.localCandidateId, pair.remoteCandidateId].map((id) => entries.find((entry) => entry.id === id));
  return local && remote ? { pair, local, remote } : null;
}

const inbound = (entries) => entries.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'video');

const place = ({ address, port }) => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);

/** Waits until `holds`; fails the step with what `reason` says when `failed`, or when it takes too long. */
async function reach(call, name, holds, reason, failed = () => false) {
  step(name, 'running');
  for (let waited = 0; !(await holds()); waited += 100) {
    if (call.ended) throw new Error('hung up');
    if (failed(waited) || waited > LIMITS[name] * 1000) throw new Failure(name, reason());
    await sleep(100);
  }
}

async function relayCounters() {
  const now = await read();
  if (now?.gone) throw new Failure('relay', explain.noDemo());
  return now;
}

async function run(current) {
  for (const [name] of STEPS) step(name, '');
  verdict('running', 'Calling ...');
  step('relay', 'running');
  const response = await fetch('ice-server.json').catch(() => null);
  if (!response?.ok) throw new Failure('relay', explain.noDemo());
  const server = await response.json();
  $('relay').textContent = [server.urls].flat().join(' and ').replaceAll(/turn:|\?transport=udp/g, '');
  $('ice-server').textContent = JSON.stringify({ iceServers: [server], iceTransportPolicy: 'relay' }, null, 2);
  const call = new Call(server, await relayCounters());
  current.call = call;
  step('relay', 'done', 'it mints credentials');

  call.addPictures(await picture($('picture').value, log));
  $('stop').disabled = false;
  await call.negotiate();
  const both = [call.a, call.b];
  const relayed = () => call.candidates.a.length > 0 && call.candidates.b.length > 0;
  const gathered = () => both.every((peer) => peer.iceGatheringState === 'complete');
  await reach(call, 'gather', relayed, () => explain.noCandidate(call.errors), gathered);
  step('gather', 'done', [...new Set(call.candidates.a)].join(', '));

  const addresses = () => [...new Set([...call.candidates.a, ...call.candidates.b])].join(', ');
  const hasPath = () => both.every((peer) => ['connected', 'completed'].includes(peer.iceConnectionState));
  // Dropped indications tell long before the browser gives up.
  const hopeless = (waited) => both.some((peer) => peer.iceConnectionState === 'failed') || (waited > 4000 && call.grown('dropped_datagrams_total{reason="send_indication"}') > 0);
  await reach(call, 'path', hasPath, () => explain.noPath(call.grown, addresses()), hopeless);
  step('path', 'done', 'both hear each other');
  await reach(call, 'encryption', () => both.every((peer) => peer.connectionState === 'connected'), explain.noEncryption);
  step('encryption', 'done', 'DTLS');
  await reach(call, 'messages', () => call.round.answered > 0, explain.noMessages);
  step('messages', 'done', `${1000 / MESSAGE_INTERVAL} /s there and back`);
  const frames = async (peer) => inbound(await stats(peer))?.framesDecoded ?? 0;
  await reach(call, 'video', async () => (await frames(call.a)) > 0 && (await frames(call.b)) > 0, explain.noVideo);
  step('video', 'done', 'both ways');
  $('restart').disabled = false;
  verdict('good', 'It works: everything between the two peers goes through the relay.');
}

/** Shows the figures of a second. */
async function figures(call, last, lines) {
  const seconds = (performance.now() - last.at) / 1000;
  last.at = performance.now();
  const before = call.now;
  call.now = await relayCounters();
  if (call.now) show($('counters'), call.before, before, call.now, seconds);
  $('counters-note').textContent = call.now ? '' : 'The relay does not tell its counters: leave --health-check-addr to the demo.';
  const entries = await stats(call.a);
  const found = chosen(entries);
  if (!found) return;
  const { pair, local, remote } = found;
  $('pair-local').textContent = place(local);
  $('pair-remote').textContent = place(remote);
  $('pair-transport').textContent = (local.relayProtocol ?? 'udp').toUpperCase();
  const video = inbound(entries) ?? { packetsReceived: 0, packetsLost: 0 };
  const packets = pair.packetsSent === undefined ? 2 * (video.packetsReceived + call.round.answered) : pair.packetsSent + pair.packetsReceived;
  const rate = Math.max(0, packets - (last.packets ?? packets)) / seconds;
  last.packets = packets;
  $('packets').textContent = rate.toFixed(0);
  lines.packets.add(rate);

  call.countLost();
  const times = call.round.times.splice(0).sort((one, other) => one - other);
  if (times.length > 0) {
    const median = times[times.length >> 1];
    $('round-trip').textContent = median.toFixed(1);
    lines.roundTrip.add(median);
  }
  const { lost, answered } = call.round;
  $('loss').textContent = ((100 * lost) / Math.max(1, lost + answered)).toFixed(1);
  $('loss-detail').textContent = `${lost} of ${lost + answered}, there and back`;
  const arrived = video.packetsReceived + video.packetsLost;
  $('video-loss').textContent = ((100 * video.packetsLost) / Math.max(1, arrived)).toFixed(1);
  $('video-detail').textContent = `${video.packetsLost} of ${arrived}, from B to A`;
}

const current = { call: null };

async function start() {
  current.call?.close();
  current.call = null;
  $('start').disabled = true;
  for (const id of ['restart', 'stop']) $(id).disabled = true;
  const last = { at: performance.now() };
  const lines = { packets: new Line('packets-line'), roundTrip: new Line('round-trip-line') };
  let call;
  const messages = setInterval(() => call?.message(), MESSAGE_INTERVAL);
  let showing = false;
  const second = setInterval(async () => {
    call = current.call;
    if (showing || !call || call.ended) return;
    showing = true;
    await figures(call, last, lines).catch((error) => fail(error));
    showing = false;
  }, 1000);
  current.halt = () => [messages, second].forEach(clearInterval);
  try {
    await run(current);
  } catch (error) {
    fail(error);
  }
  $('start').disabled = false;
}

function fail(error) {
  if (current.call?.ended) return;
  if (error instanceof Failure) {
    step(error.step, 'failed', 'see above');
    verdict('bad', error.reason.title, error.reason.text);
  } else {
    verdict('bad', 'The page itself failed.', `${error}`);
  }
}

function hangUp() {
  current.halt?.();
  current.call?.close();
  for (const id of ['restart', 'stop']) $(id).disabled = true;
  verdict('running', 'Hung up. The relay ends the allocations at once.');
}

async function restart() {
  const { call } = current;
  const old = $('pair-local').textContent;
  verdict('running', 'Restarting ICE ...');
  await call.negotiate({ iceRestart: true });
  for (let waited = 0; waited < 20_000 && !call.ended; waited += 100) {
    const found = chosen(await stats(call.a));
    if (found && place(found.local) !== old) {
      verdict('good', `ICE restarted: A moved from ${old} to ${place(found.local)}.`);
      return;
    }
    await sleep(100);
  }
  fail(new Failure('path', explain.noPath(call.grown, old)));
}

for (const [name, label] of STEPS) {
  const item = document.createElement('li');
  item.id = `step-${name}`;
  item.append(Object.assign(document.createElement('b'), { textContent: label }), document.createElement('small'));
  $('steps').append(item);
}
$('start').onclick = () => {
  current.halt?.();
  start();
};
$('stop').onclick = hangUp;
$('restart').onclick = () => restart().catch(fail);
$('picture').onchange = $('start').onclick;
$('controls').onsubmit = (event) => event.preventDefault();
start();
