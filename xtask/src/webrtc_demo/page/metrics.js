// The relay's counters, read from its Prometheus text.

/** The counters shown, in order; `bad` marks those that should not grow. */
const SHOWN = [
  { label: 'Allocations that live', name: 'active_allocations' },
  { label: 'Channels that relay', name: 'active_channels' },
  { label: 'Packets from clients to peers', name: 'relayed_packets_total{direction="to_peer"}' },
  { label: 'Packets from peers to clients', name: 'relayed_packets_total{direction="to_client"}' },
  { label: 'Bytes relayed through the sockets', name: 'data_relayed_userspace_bytes_total' },
  { label: 'Bytes relayed in the kernel', name: 'data_relayed_ebpf_bytes_total' },
];

/** Whether a series counts errors or drops. */
const isBad = (name) => name.startsWith('dropped_datagrams_total') || name.startsWith('receive_overruns') || (name.startsWith('responses_total') && name.includes('"error"'));

/** Reads the relay's counters; `null` if it does not tell them. */
export async function read() {
  const response = await fetch('metrics').catch(() => null);
  if (!response) return { gone: true };
  if (!response.ok) return null;
  const values = new Map();
  for (const line of (await response.text()).split('\n')) {
    const at = line.lastIndexOf(' ');
    if (at > 0 && !line.startsWith('#')) values.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return values;
}

/** How much the series have grown from `before` to `after` whose name begins with `name` and that contain each of `words`. */
export function growth(before, after, name, words = []) {
  let sum = 0;
  for (const [series, value] of after ?? []) {
    if (series.startsWith(name) && words.every((word) => series.includes(`"${word}"`))) sum += value - (before?.get(series) ?? 0);
  }
  return sum;
}

const number = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** Fills the table. `first` was read when the call began, `last` a moment ago, `now` now. */
export function show(body, first, last, now, seconds) {
  const rows = SHOWN.filter(({ name }) => now.has(name)).map((row) => ({ ...row, bad: false }));
  for (const [name] of now) {
    if (isBad(name) && growth(first, now, name) > 0) rows.push({ name, ...judge(name) });
  }
  body.replaceChildren(...rows.map(({ label, name, bad }) => {
    const row = document.createElement('tr');
    row.className = bad ? 'bad' : '';
    const cells = [label, now.get(name), name.startsWith('active') ? '' : growth(first, now, name), name.startsWith('active') ? '' : growth(last, now, name) / seconds];
    row.append(...cells.map((value) => {
      const cell = document.createElement('td');
      cell.textContent = typeof value === 'number' ? number.format(value) : value;
      return cell;
    }));
    const series = document.createElement('span');
    series.className = 'name';
    series.textContent = name;
    row.firstChild.append(series);
    return row;
  }));
}

/** What a counter of drops or refusals means, and whether it tells of trouble. */
function judge(name) {
  if (name.includes('"401"')) return { label: 'Challenges, as always', bad: false };
  if (name.startsWith('responses')) return { label: 'Requests refused', bad: true };
  if (name.includes('"unknown_peer"')) return { label: 'Checks before their permission: a few are usual', bad: false };
  return { label: name.startsWith('dropped') ? 'Datagrams dropped' : 'Datagrams that came too fast', bad: true };
}
