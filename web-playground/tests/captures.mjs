// Captures for the tests: good ones, bad ones, and a large one.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'playground-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

export const example = (name) => readFileSync(join(root, `web-playground/public/examples/${name}.pcapng`));
export const tcpdump = (name) => join(root, `crates/packet-trace/tests/captures/${name}`);
export const write = (name, bytes) => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
};

/** Where each block of a little-endian pcapng file begins and ends. */
export function blocks(file) {
  const list = [];
  for (let at = 0; at < file.length; ) {
    const length = file.readUInt32LE(at + 4);
    list.push({ kind: file.readUInt32LE(at), start: at, end: at + length });
    at += length;
  }
  return list;
}

/** Files that are no good: what the page must say of each. */
export function badFiles() {
  const good = example('good-session');
  const packets = blocks(good).filter((block) => block.kind === 6);
  const corrupt = Buffer.from(good);
  corrupt.writeUInt32LE(13, packets[10].start + 4);
  const wifi = Buffer.from(readFileSync(tcpdump('ethernet.pcap')));
  wifi.writeUInt32LE(105, 20);
  return [
    { name: 'empty.pcap', bytes: Buffer.alloc(0), says: /empty/, opens: false },
    { name: 'picture.png', bytes: Buffer.from('\x89PNG\r\n\x1a\n and so on', 'latin1'), says: /neither a pcapng nor a pcap/, opens: false },
    { name: 'wifi.pcap', bytes: wifi, says: /IEEE 802\.11/, opens: false },
    { name: 'damaged.gz', bytes: gzipSync(good).subarray(0, 300), says: /gzip.*cannot be unpacked/, opens: false },
    { name: 'archive.zip', bytes: Buffer.from('PK\x03\x04 whatever', 'latin1'), says: /compressed with zip/, opens: false },
    { name: 'cut.pcapng', bytes: good.subarray(0, packets[20].end - 7), says: /cut off/, opens: true },
    { name: 'corrupt.pcapng', bytes: corrupt, says: /corrupt/, opens: true },
  ];
}

/** A replayable trace of at least `count` packets: the data of an example over and over, within the lifetime of its channel. */
export function large(count) {
  const file = example('good-session');
  const all = blocks(file);
  const packets = all.filter((block) => block.kind === 6);
  // Packets 11 to 14: a message there and one back.
  const [first, last] = [packets[10], packets[13]];
  const round = file.subarray(first.start, last.end);
  const offsets = packets.slice(10, 14).map((block) => block.start - first.start);
  const times = offsets.map((at) => (BigInt(round.readUInt32LE(at + 12)) << 32n) | BigInt(round.readUInt32LE(at + 16)));
  const rounds = Math.ceil(count / 4);
  // 500 s in all: the channel lives for 600.
  const gap = BigInt(Math.floor(500e9 / rounds));
  const out = Buffer.alloc(last.end + rounds * round.length);
  file.copy(out, 0, 0, last.end);
  for (let index = 1; index <= rounds; index++) {
    const start = last.end + (index - 1) * round.length;
    round.copy(out, start);
    offsets.forEach((at, packet) => {
      const time = times[3] + gap * BigInt(index) + BigInt(packet * 10_000);
      out.writeUInt32LE(Number(time >> 32n), start + at + 12);
      out.writeUInt32LE(Number(time & 0xffffffffn), start + at + 16);
    });
  }
  return { bytes: out, packets: 14 + rounds * 4 };
}
