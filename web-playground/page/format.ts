// Words for rows, times and sizes.

import type { Lanes } from './lanes';
import { type Columns, Flag, Kind, NONE, Role, type Summary } from './model';

const SEND = 6;
const DATA = 7;
const CREATE_PERMISSION = 8;

const METHODS: Record<number, string> = {
  1: 'Binding',
  3: 'Allocate',
  4: 'Refresh',
  6: 'Send',
  7: 'Data',
  8: 'CreatePermission',
  9: 'ChannelBind',
  10: 'Connect',
  11: 'ConnectionBind',
};

const method = (number: number) => METHODS[number] ?? `method 0x${number.toString(16)}`;
export const hex = (number: number) => `0x${number.toString(16).padStart(4, '0')}`;

/** What a row is, in a few words; `brief` where there is room for fewer. */
export function describe(row: number, columns: Columns, summary: Summary, brief = false): string {
  const kind = columns.kinds[row];
  const argument = columns.arguments[row]!;
  const name = method(columns.methods[row]!);
  switch (kind) {
    case Kind.Request: {
      const peer = address(columns.peers[row]!, summary);
      // A permission is for an address, whatever the port.
      const whom = columns.methods[row] === CREATE_PERMISSION ? host(peer) : peer;
      return brief && whom ? `${name} ${whom}` : `${name} request${whom && ` for ${whom}`}`;
    }
    case Kind.Indication: {
      const peer = address(columns.peers[row]!, summary);
      const way = columns.methods[row] === SEND ? ' to' : columns.methods[row] === DATA ? ' from' : '';
      return `${name}${brief && way ? '' : ' indication'}${peer && way && `${way} ${peer}`}`;
    }
    case Kind.Success:
      return `${name} success`;
    case Kind.Error:
      return `${name} error ${argument}`;
    case Kind.ChannelData:
      return `ChannelData ${hex(argument)}`;
    case Kind.Data:
      return 'Application data';
    case Kind.Malformed:
      return 'Malformed message';
    case Kind.Internal:
      return summary.headlines[row] || 'Relay event';
    case Kind.Other:
      return 'Other UDP';
    default:
      return 'Not a readable UDP packet';
  }
}

/** An address without its port. */
const host = (address: string) => address.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');

/** Whether a row is application data, in whatever it travels. */
const isData = (row: number, columns: Columns) =>
  columns.kinds[row] === Kind.ChannelData ||
  columns.kinds[row] === Kind.Data ||
  (columns.kinds[row] === Kind.Indication && (columns.methods[row] === SEND || columns.methods[row] === DATA));

/** The class by which rows are coloured. */
export function tone(row: number, columns: Columns): string {
  const flags = columns.flags[row]!;
  if (flags & Flag.Different) return 'different';
  if (flags & Flag.Dropped) return 'dropped';
  if (isData(row, columns)) return 'data';
  switch (columns.kinds[row]) {
    case Kind.Error:
    case Kind.Malformed:
      return 'error';
    case Kind.Request:
    case Kind.Indication:
      return 'request';
    case Kind.Success:
      return 'success';
    case Kind.Internal:
      return 'internal';
    default:
      return 'other';
  }
}

/** The marks beside a row: what is special about it, for those who cannot see colours too. */
export function marks(row: number, columns: Columns, summary: Summary): string[] {
  const flags = columns.flags[row]!;
  const list: string[] = [];
  if (flags & Flag.Different) list.push('replay differs');
  if (flags & Flag.Dropped) list.push('dropped');
  if (flags & Flag.Rejected && columns.kinds[row] === Kind.Request) list.push('refused');
  // Where all data is cut, a line above the list says so.
  if (flags & Flag.Truncated && summary.payloadLimit === null) list.push('cut');
  if (flags & Flag.Gap) list.push('packets lost before');
  return list;
}

export function address(endpoint: number, summary: Summary): string {
  return endpoint === NONE ? '' : (summary.endpoints[endpoint]?.address ?? '');
}

/** Who an endpoint is, as the timeline calls it; relayed transport addresses by their port. */
export function party(endpoint: number, summary: Summary, lanes: Lanes): string {
  const found = endpoint === NONE ? undefined : summary.endpoints[endpoint];
  if (!found) return '';
  if (found.role === Role.Relayed) return `Relay ${found.address.slice(found.address.lastIndexOf(':'))}`;
  const lane = lanes.list[lanes.of[endpoint]!];
  return lane && lane.kind !== 'other' ? lane.title : found.address;
}

/** Seconds since the beginning, with as many digits as it takes. */
export function seconds(value: number): string {
  return value.toFixed(value < 1000 ? 6 : 3);
}

export function bytes(count: number): string {
  if (count < 10_000) return `${count} B`;
  if (count < 10_000_000) return `${(count / 1000).toFixed(1)} kB`;
  return `${(count / 1_000_000).toFixed(1)} MB`;
}

export const plural = (count: number, one: string, many = `${one}s`) =>
  `${count.toLocaleString('en')} ${count === 1 ? one : many}`;

/** A span of seconds in its two largest units. */
export function span(total: number): string {
  const rounded = Math.max(0, Math.round(total));
  const parts: [number, string][] = [
    [Math.floor(rounded / 3600), 'h'],
    [Math.floor(rounded / 60) % 60, 'min'],
    [rounded % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return '0 s';
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ');
}

export const clock = (unix: number) =>
  new Date(unix * 1000).toISOString().replace('T', ' ').replace(/\.\d+Z$/, ' UTC');
