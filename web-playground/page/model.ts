// The shapes that the WebAssembly module speaks: see `src/trace.rs`, `src/state.rs` and `relay-replay`.

export const NONE = 0xffffffff;

export const Kind = {
  Unusable: 0,
  Other: 1,
  Request: 2,
  Indication: 3,
  Success: 4,
  Error: 5,
  ChannelData: 6,
  Data: 7,
  Malformed: 8,
  Internal: 9,
} as const;

export const Flag = {
  Dropped: 1,
  Rejected: 2,
  Different: 4,
  Truncated: 8,
  Outbound: 16,
  Commented: 32,
  State: 64,
  Gap: 128,
} as const;

export const Role = { Unknown: 0, Client: 1, Relay: 2, Relayed: 3, Peer: 4 } as const;

export interface Endpoint {
  address: string;
  role: number;
  packets: number;
}

/** Refusals or drops of one kind. */
export interface Trouble {
  text: string;
  count: number;
  row: number;
}

export interface Summary {
  mode: 'empty' | 'replay' | 'inspection';
  modeReason: string | null;
  error: string | null;
  warnings: string[];
  software: string | null;
  payloadLimit: number | null;
  start: number;
  rows: number;
  packets: number;
  unusable: number;
  dropped: number;
  differences: number;
  troubles: Trouble[];
  endpoints: Endpoint[];
  headlines: Record<string, string>;
}

export interface Columns {
  times: Float64Array;
  sources: Uint32Array;
  destinations: Uint32Array;
  peers: Uint32Array;
  related: Uint32Array;
  kinds: Uint8Array;
  methods: Uint8Array;
  flags: Uint8Array;
  arguments: Uint16Array;
  lengths: Uint16Array;
}

export interface Loaded {
  summary: Summary;
  columns: Columns;
}

export interface Field {
  name: string;
  value: string;
  range: { start: number; end: number };
  link?: string;
  note?: string;
  problem?: string;
  children?: Field[];
}

export interface Explanation {
  tone: 'info' | 'good' | 'problem' | 'difference';
  title: string;
  text: string;
  advice?: string;
  link?: string;
}

export interface Detail {
  row: number;
  bytes: Uint8Array;
  fields: Field[];
  explanations: Explanation[];
  comment: string | null;
  truncated: boolean;
}

export interface Channel {
  peer: string;
  bound: boolean;
  expires_at: number;
  reusable_at: number;
  packets: number;
}

export interface Permission {
  expires_at: number;
  packets: number;
}

export interface Allocation {
  name: string;
  id: string;
  shard: number;
  client: string;
  username: string;
  relayed: { address: string; lifetime: number; expires_at: number }[];
  channels: Record<string, Channel>;
  permissions: Record<string, Permission>;
  bytes_up: number;
  bytes_down: number;
  change?: 'new' | 'changed';
  channel_changes: Record<string, 'new' | 'changed'>;
  removed_channels: number[];
  permission_changes: Record<string, 'new' | 'changed'>;
  removed_permissions: string[];
}

export interface Counters {
  successes: number;
  errors: Record<string, number>;
  drops: Record<string, number>;
  packets_up: number;
  bytes_up: number;
  packets_down: number;
  bytes_down: number;
}

export interface State {
  row: number;
  now: number;
  draining: boolean;
  live: number;
  allocations: Allocation[];
  removed: Allocation[];
  counters: Counters;
  counters_before: Counters;
}

export interface Difference {
  row: number;
  kind: string;
  text: string;
}

export type Action =
  | { do: 'add_client'; socket: string }
  | { do: 'binding'; client: number }
  | { do: 'allocate'; client: number; dual_stack: boolean }
  | { do: 'refresh'; client: number; seconds: number | null }
  | { do: 'permission'; client: number; peer: string }
  | { do: 'bind'; client: number; channel: number; peer: string }
  | { do: 'send'; client: number; channel: number; text: string }
  | { do: 'send_to'; client: number; peer: string; text: string }
  | { do: 'peer_send'; client: number; peer: string; text: string }
  | { do: 'send_again'; client: number; at: number; mask: number }
  | { do: 'move'; client: number; socket: string }
  | { do: 'wrong_password'; client: number }
  | { do: 'credentials'; client: number; seconds: number }
  | { do: 'advance'; seconds: number }
  | { do: 'drain' };

/** What the page asks of the worker: each with its answer. */
export interface Calls {
  open: { ask: { source: Blob }; answer: Loaded };
  live: { ask: { seed: number; now: number }; answer: Loaded };
  act: { ask: { action: Action }; answer: Loaded };
  relayed: { ask: { client: number }; answer: string[] };
  filter: { ask: { text: string }; answer: Uint32Array };
  detail: { ask: { row: number }; answer: Detail };
  state: { ask: { row: number }; answer: State };
  differences: { ask: Record<string, never>; answer: Difference[] };
  save: { ask: Record<string, never>; answer: Blob };
}

export type Ask = { [Name in keyof Calls]: { id: number; name: Name } & Calls[Name]['ask'] }[keyof Calls];

export type Reply =
  | { id: number; answer: unknown }
  | { id: number; error: string }
  | { id: number; progress: { bytes: number; total: number; rows: number } };
