// Holds the capture and the state machine; the page asks, this answers. Nothing here blocks the page.

import init, { Columns as WasmColumns, Live, Trace } from './wasm/relay_playground.js';
import type { Ask, Calls, Columns, Loaded, Reply } from './model';

/** How much of a file is read at a time. */
const PIECE = 4 << 20;

const ready = init();
let trace: Trace | null = null;
let source: Blob = new Blob();
let live: { relay: Live; parts: Uint8Array<ArrayBuffer>[] } | null = null;
/** Counts openings, so that one that is overtaken by another gives up. */
let opening = 0;

const reply = (message: Reply, transfer: Transferable[] = []) => postMessage(message, { transfer });

function replace(next: Trace) {
  trace?.free();
  trace = next;
}

function current(): Trace {
  if (!trace) throw new Error('No trace is open.');
  return trace;
}

function loaded(): Loaded {
  const open = current();
  const columns: WasmColumns = open.columns();
  const copy: Columns = {
    times: columns.times,
    sources: columns.sources,
    destinations: columns.destinations,
    peers: columns.peers,
    related: columns.related,
    kinds: columns.kinds,
    methods: columns.methods,
    flags: columns.flags,
    arguments: columns.arguments,
    lengths: columns.lengths,
  };
  columns.free();
  return { summary: JSON.parse(open.summary()), columns: copy };
}

/** Unpacks gzip, which captures are often kept in. */
async function unpacked(blob: Blob): Promise<Blob> {
  const head = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  if (head[0] !== 0x1f || head[1] !== 0x8b) return blob;
  try {
    return await new Response(blob.stream().pipeThrough(new DecompressionStream('gzip'))).blob();
  } catch {
    throw new Error('The file is compressed with gzip and damaged: it cannot be unpacked.');
  }
}

async function open(id: number, blob: Blob): Promise<Loaded> {
  const mine = ++opening;
  const plain = await unpacked(blob);
  const next = new Trace();
  for (let at = 0; at < plain.size && !next.has_failed(); at += PIECE) {
    next.push(new Uint8Array(await plain.slice(at, at + PIECE).arrayBuffer()));
    if (mine !== opening) {
      next.free();
      throw new Error('Another trace was opened meanwhile.');
    }
    reply({ id, progress: { bytes: Math.min(at + PIECE, plain.size), total: plain.size, rows: next.len() } });
  }
  next.end();
  live?.relay.free();
  live = null;
  source = plain;
  replace(next);
  return loaded();
}

function grow(bytes: Uint8Array): Loaded {
  if (!live) throw new Error('The relay is not running.');
  const part = new Uint8Array(bytes);
  live.parts.push(part);
  source = new Blob(live.parts);
  current().push(part);
  return loaded();
}

async function frame(row: number): Promise<Uint8Array> {
  const [offset = 0, length = 0] = current().frame(row);
  return length === 0 ? new Uint8Array() : new Uint8Array(await source.slice(offset, offset + length).arrayBuffer());
}

async function detail(row: number, related: number): Promise<Calls['detail']['answer']> {
  const [bytes, other] = await Promise.all([frame(row), frame(related)]);
  return { row, bytes, ...JSON.parse(current().detail(row, bytes, other)) };
}

async function answer(ask: Ask): Promise<unknown> {
  await ready;
  switch (ask.name) {
    case 'open':
      return open(ask.id, ask.source);
    case 'live': {
      ++opening;
      live?.relay.free();
      live = { relay: new Live(ask.seed, ask.now), parts: [] };
      replace(new Trace());
      return grow(live.relay.act(JSON.stringify({ do: 'add_client', socket: '192.0.2.10:50123' })));
    }
    case 'act':
      if (!live) throw new Error('The relay is not running.');
      return grow(live.relay.act(JSON.stringify(ask.action)));
    case 'relayed':
      return (live?.relay.relayed(ask.client) ?? '').split('\n').filter((line) => line !== '');
    case 'filter':
      return current().filter(ask.text);
    case 'detail':
      return detail(ask.row, current().related(ask.row));
    case 'state':
      return { row: ask.row, ...JSON.parse(current().state(ask.row)) };
    case 'differences':
      return JSON.parse(current().differences());
    case 'save':
      return source;
  }
}

addEventListener('message', async ({ data: ask }: MessageEvent<Ask>) => {
  try {
    reply({ id: ask.id, answer: await answer(ask) });
  } catch (error) {
    reply({ id: ask.id, error: error instanceof Error ? error.message : String(error) });
  }
});
