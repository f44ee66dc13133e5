// Gives every transport address a lane of the timeline: clients above, the relay in the middle, peers below.

import { type Endpoint, Role } from './model';

export interface Lane {
  title: string;
  subtitle: string;
  kind: 'client' | 'relay' | 'peer' | 'other';
}

export interface Lanes {
  list: Lane[];
  /** The lane of each endpoint. */
  of: Uint16Array;
  relay: number;
}

/** More than so many lanes of a kind are put together in one. */
const MOST = 6;

export function assignLanes(endpoints: Endpoint[]): Lanes {
  const of = new Uint16Array(endpoints.length);
  const list: Lane[] = [];
  const add = (kind: Lane['kind'], title: string, role: number) => {
    const members = endpoints.map((_, index) => index).filter((index) => endpoints[index]!.role === role && endpoints[index]!.packets > 0);
    const busiest = new Set([...members].sort((a, b) => endpoints[b]!.packets - endpoints[a]!.packets).slice(0, MOST));
    let shown = 0;
    for (const index of members) {
      if (!busiest.has(index)) continue;
      shown += 1;
      of[index] = list.length;
      list.push({ kind, title: busiest.size > 1 ? `${title} ${shown}` : title, subtitle: endpoints[index]!.address });
    }
    const rest = members.length - shown;
    if (rest > 0) {
      for (const index of members) if (!busiest.has(index)) of[index] = list.length;
      list.push({ kind, title: `${title}s`, subtitle: `${rest} more` });
    }
  };
  add('client', 'Client', Role.Client);
  const relay = list.length;
  const relays = endpoints.filter((endpoint) => endpoint.role === Role.Relay);
  if (relays.length > 0 || endpoints.every((endpoint) => endpoint.role !== Role.Unknown || endpoint.packets === 0)) {
    const subtitle = relays.length === 1 ? relays[0]!.address : relays.length > 1 ? `${relays.length} addresses` : '';
    list.push({ kind: 'relay', title: 'Relay', subtitle });
  }
  endpoints.forEach((endpoint, index) => {
    if (endpoint.role === Role.Relay || endpoint.role === Role.Relayed) of[index] = relay;
  });
  add('peer', 'Peer', Role.Peer);
  add('other', 'Other', Role.Unknown);
  return { list, of, relay };
}
