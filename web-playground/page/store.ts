// What the page knows and shows. Components read signals; everything that changes them is here.

import { batch, computed, effect, signal } from '@preact/signals';

import { assignLanes } from './lanes';
import { readLink, writeLink } from './link';
import { type Action, type Detail, type Difference, Flag, Kind, type Loaded, NONE, type State } from './model';
import { ask } from './relay';

export interface Example {
  name: string;
  title: string;
  story: string;
}

export const examples = signal<Example[]>([]);
/** The trace that is open. */
export const trace = signal<(Loaded & { name: string; example: string | null; live: boolean }) | null>(null);
export const loading = signal<{ name: string; done: number; rows: number } | null>(null);
export const problem = signal<string | null>(null);
export const selected = signal(0);
export const filterText = signal('');
export const filterProblem = signal<string | null>(null);
/** The rows that the filter lets through, or null for all. */
export const filtered = signal<Uint32Array | null>(null);
export const detail = signal<Detail | null>(null);
export const state = signal<State | null>(null);
export const differences = signal<Difference[]>([]);
export const playing = signal(false);
export const speed = signal(1);
/** The bytes of the packet that are pointed at. */
export const pointed = signal<{ start: number; end: number } | null>(null);
export const helpOpen = signal(false);
export const theme = signal<'auto' | 'light' | 'dark'>('auto');
/** Which panel is shown where there is room for one only. */
export const panel = signal<'list' | 'detail' | 'state'>('list');

export const lanes = computed(() => (trace.value ? assignLanes(trace.value.summary.endpoints) : null));
export const shownCount = computed(() => filtered.value?.length ?? trace.value?.summary.rows ?? 0);

/** The row at a position of the shown list. */
export function rowAt(position: number): number {
  return filtered.value ? (filtered.value[position] ?? 0) : position;
}

/** The position in the shown list of a row, or of the first shown one after it. */
export function positionOf(row: number): number {
  const rows = filtered.value;
  if (!rows) return row;
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle]! < row) low = middle + 1;
    else high = middle;
  }
  return low;
}

const message = (error: unknown) => (error instanceof Error ? error.message : String(error));

function show(loaded: Loaded, name: string, example: string | null, live: boolean) {
  const last = Math.max(0, loaded.summary.rows - 1);
  batch(() => {
    trace.value = { ...loaded, name, example, live };
    selected.value = live ? last : Math.min(selected.value, last);
    problem.value = loaded.summary.error && loaded.summary.rows === 0 ? loaded.summary.error : null;
    detail.value = null;
    state.value = null;
    differences.value = [];
  });
  if (loaded.summary.differences > 0) void ask('differences', {}).then((list) => (differences.value = list), fail);
}

function fail(error: unknown) {
  problem.value = message(error);
}

let openings = 0;

async function open(source: Blob, name: string, example: string | null, row: number) {
  const mine = ++openings;
  batch(() => {
    loading.value = { name, done: 0, rows: 0 };
    problem.value = null;
    playing.value = false;
  });
  try {
    const loaded = await ask('open', { source }, ({ bytes, total, rows }) => {
      if (mine === openings) loading.value = { name, done: total ? bytes / total : 1, rows };
    });
    if (mine !== openings) return;
    if (loaded.summary.rows === 0) {
      trace.value = null;
      problem.value = `${name}: ${loaded.summary.error ?? 'the capture holds no packets'}.`;
      return;
    }
    filterText.value = '';
    filtered.value = null;
    filterProblem.value = null;
    selected.value = row;
    show(loaded, name, example, false);
  } catch (error) {
    if (mine === openings) problem.value = `${name}: ${message(error)}`;
  } finally {
    if (mine === openings) loading.value = null;
  }
}

/** Opens a file of the visitor's. */
export function openFile(file: File, row = 0) {
  return open(file, file.name, null, row);
}

/** Opens an example by its name. */
export async function openExample(name: string, row = 0) {
  const known = examples.value.find((example) => example.name === name);
  if (!known) {
    problem.value = `There is no example called “${name}”.`;
    return;
  }
  try {
    const response = await fetch(`examples/${name}.pcapng`);
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    await open(await response.blob(), known.title, name, row);
  } catch (error) {
    problem.value = `${known.title}: ${message(error)}`;
  }
}

/** Starts a relay whose client the visitor plays. */
export async function startLive() {
  ++openings;
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  try {
    const loaded = await ask('live', { seed, now: Math.floor(Date.now() / 1000) });
    batch(() => {
      loading.value = null;
      playing.value = false;
      filterText.value = '';
      filtered.value = null;
      show(loaded, 'Live relay', null, true);
    });
  } catch (error) {
    fail(error);
  }
}

/** Does something in live mode. */
export async function act(action: Action) {
  try {
    const loaded = await ask('act', { action });
    if (trace.value?.live) {
      show(loaded, 'Live relay', null, true);
      await applyFilter();
    }
  } catch (error) {
    fail(error);
  }
}

/** Offers the open trace as a file. */
export async function save() {
  const blob = await ask('save', {});
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = `${trace.value?.example ?? 'relay-trace'}.pcapng`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function close() {
  ++openings;
  batch(() => {
    trace.value = null;
    loading.value = null;
    playing.value = false;
    problem.value = null;
    selected.value = 0;
  });
}

/** Selects a row and forgets what of the old one was pointed at. */
export function select(row: number) {
  const last = (trace.value?.summary.rows ?? 1) - 1;
  batch(() => {
    selected.value = Math.max(0, Math.min(row, last));
    pointed.value = null;
  });
}

/** Steps through the shown rows. */
export function step(by: number) {
  const count = shownCount.value;
  if (count === 0) return;
  const position = positionOf(selected.value);
  const exact = rowAt(position) === selected.value;
  const from = exact || by < 0 ? position : position - 1;
  select(rowAt(Math.max(0, Math.min(count - 1, from + by))));
}

/** The next shown row that was refused, dropped or replayed differently. */
export function nextTrouble(direction: 1 | -1) {
  const flags = trace.value?.columns.flags;
  if (!flags) return;
  const mask = Flag.Rejected | Flag.Dropped | Flag.Different;
  const count = shownCount.value;
  for (let at = positionOf(selected.value) + direction; at >= 0 && at < count; at += direction) {
    if (flags[rowAt(at)]! & mask) return select(rowAt(at));
  }
}

export function selectRelated() {
  const related = trace.value?.columns.related[selected.value] ?? NONE;
  if (related !== NONE) select(related);
}

let filterings = 0;

async function applyFilter() {
  const mine = ++filterings;
  const text = filterText.value.trim();
  if (!trace.value || text === '') {
    filtered.value = null;
    filterProblem.value = null;
    return;
  }
  try {
    const rows = await ask('filter', { text });
    if (mine === filterings) {
      filtered.value = rows;
      filterProblem.value = null;
    }
  } catch (error) {
    if (mine === filterings) filterProblem.value = message(error);
  }
}

export function setFilter(text: string) {
  filterText.value = text;
  void applyFilter();
}

/** Makes `follow` look again. */
const nudge = signal(0);

/** Keeps details and state in step with the selection: one question at a time, always the latest. */
function follow() {
  let busy = false;
  effect(() => {
    const open = trace.value;
    const row = selected.value;
    void nudge.value;
    if (!open || open.summary.rows === 0 || busy) return;
    const isCurrent = () => trace.value === open && selected.value === row;
    const refresh = async () => {
      busy = true;
      try {
        const [nextDetail, nextState] = await Promise.all([ask('detail', { row }), ask('state', { row })]);
        if (trace.value === open) {
          batch(() => {
            detail.value = nextDetail;
            state.value = nextState;
          });
        }
      } catch (error) {
        if (isCurrent()) fail(error);
      } finally {
        busy = false;
      }
      // What was selected meanwhile comes next.
      if (!isCurrent()) nudge.value += 1;
    };
    void refresh();
  });
}

/** Plays row after row, with the pauses of the trace; long ones are cut short. */
function play() {
  const SHORTEST = 40;
  const LONGEST = 1200;
  effect(() => {
    const open = trace.value;
    if (!playing.value || !open) return;
    const position = positionOf(selected.value);
    const next = position + 1;
    if (next >= shownCount.value) {
      playing.value = false;
      return;
    }
    const gap = (open.columns.times[rowAt(next)] ?? 0) - (open.columns.times[selected.value] ?? 0);
    // Packets of one exchange are microseconds apart; a person needs longer to see them.
    const pause = Math.max(SHORTEST, Math.min(LONGEST, Math.max(gap * 1000, 350) / speed.value));
    const timer = setTimeout(() => select(rowAt(next)), pause);
    return () => clearTimeout(timer);
  });
}

export function togglePlay() {
  const count = shownCount.value;
  if (!playing.value && positionOf(selected.value) >= count - 1) select(rowAt(0));
  playing.value = !playing.value;
}

/** How many links are being followed: until they are, the address is the visitor's and not the page's to write. */
const following = signal(0);

/** What a link asks for. */
async function followLink() {
  const link = readLink();
  following.value += 1;
  if (link.live) await startLive();
  else if (link.example !== null && link.example !== trace.value?.example) await openExample(link.example, link.row ?? 0);
  else if (link.row !== null && trace.value) select(link.row);
  following.value -= 1;
}

export async function start() {
  follow();
  play();
  effect(() => {
    if (theme.value === 'auto') document.documentElement.removeAttribute('data-theme');
    else document.documentElement.dataset.theme = theme.value;
  });
  try {
    const response = await fetch('examples/index.json');
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    examples.value = await response.json();
  } catch (error) {
    problem.value = `The list of examples could not be loaded: ${message(error)}.`;
  }
  await followLink();
  addEventListener('hashchange', () => void followLink());
  effect(() => {
    const open = trace.value;
    const link = { example: open?.example ?? null, live: open?.live ?? false, row: open ? selected.value : null };
    if (!loading.value && following.value === 0) writeLink(link);
  });
}

/** Whether the row is an event inside the relay. */
export const isInternal = (row: number) => trace.value?.columns.kinds[row] === Kind.Internal;
