import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

import { describe, marks, party, seconds, tone } from './format';
import { Kind } from './model';
import { filterProblem, filterText, filtered, lanes, positionOf, rowAt, select, selected, setFilter, shownCount, trace } from './store';

const ROW = 26;
/** Browsers do not lay out boxes that are much higher; longer lists scroll in larger steps. */
const MOST_PIXELS = 8_000_000;
const CHIPS = ['rejected|dropped', 'state', 'allocate', 'channelbind|createpermission', 'indication', '-data', 'different'];

export function PacketList() {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(400);
  const count = shownCount.value;
  const full = count * ROW;
  const laid = Math.min(full, MOST_PIXELS);
  // Where the list is scrolled to, in rows.
  const furthest = Math.max(1, laid - height);
  const first = laid < full ? (top / furthest) * Math.max(0, count - height / ROW) : top / ROW;
  const start = Math.max(0, Math.floor(first) - 4);
  const end = Math.min(count, Math.ceil(first + height / ROW) + 4);

  const position = positionOf(selected.value);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setHeight(element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  // The selected row is kept in sight.
  useEffect(() => {
    const element = box.current;
    if (!element || count === 0) return;
    const position = positionOf(selected.value);
    const visible = element.clientHeight / ROW;
    const from = laid < full ? (element.scrollTop / furthest) * Math.max(0, count - visible) : element.scrollTop / ROW;
    if (position >= from && position + 1 <= from + visible) return;
    const wanted = Math.max(0, Math.min(count - visible, position - visible / 2));
    element.scrollTop = laid < full ? (wanted / Math.max(1, count - visible)) * furthest : wanted * ROW;
  }, [selected.value, filtered.value, trace.value, height]);

  const lines = [];
  for (let position = start; position < end; position++) lines.push(<Line key={rowAt(position)} position={position} first={first} top={top} />);
  return (
    <section class="panel list" aria-label="Packets">
      <FilterBar />
      <div
        ref={box}
        class="rows"
        role={count > 0 ? 'listbox' : 'presentation'}
        aria-label="Packets"
        tabIndex={0}
        aria-activedescendant={position >= start && position < end ? `row-${selected.value}` : undefined}
        onScroll={({ currentTarget }) => setTop(currentTarget.scrollTop)}
      >
        <div class="height" style={{ height: `${laid}px` }} role="presentation">
          {lines}
        </div>
      </div>
      {count === 0 && <p class="empty">No packet passes the filter.</p>}
    </section>
  );
}

function Line({ position, first, top }: { position: number; first: number; top: number }) {
  const { columns, summary } = trace.value!;
  const row = rowAt(position);
  const internal = columns.kinds[row] === Kind.Internal;
  const from = party(columns.sources[row]!, summary, lanes.value!);
  const to = party(columns.destinations[row]!, summary, lanes.value!);
  const isSelected = row === selected.value;
  return (
    <div
      id={`row-${row}`}
      class={`row ${tone(row, columns)}${isSelected ? ' selected' : ''}`}
      role="option"
      aria-selected={isSelected}
      aria-setsize={shownCount.value}
      aria-posinset={position + 1}
      style={{ transform: `translateY(${Math.round(top + (position - first) * ROW)}px)` }}
      onClick={() => select(row)}
    >
      <span class="number">{row + 1}</span>
      <span class="time">{seconds(columns.times[row]!)}</span>
      <span class="what">
        {describe(row, columns, summary, true)}
        {marks(row, columns, summary).map((mark) => (
          <span key={mark} class="mark">
            {mark}
          </span>
        ))}
      </span>
      <span class="way">{internal ? 'inside the relay' : from && `${from} → ${to}`}</span>
      <span class="length">{internal ? '' : columns.lengths[row]}</span>
    </div>
  );
}

function FilterBar() {
  const count = shownCount.value;
  return (
    <div class="filter">
      <label class="hidden" for="filter">
        Filter
      </label>
      <input
        id="filter"
        type="search"
        placeholder="Filter: allocate 401, -data, 192.0.2.1, 0x4001 …  (?)"
        autocomplete="off"
        spellcheck={false}
        value={filterText.value}
        aria-invalid={filterProblem.value !== null}
        aria-describedby="filter-result"
        onInput={({ currentTarget }) => setFilter(currentTarget.value)}
        onKeyDown={(event) => event.key === 'Escape' && event.currentTarget.blur()}
      />
      <div class="chips">
        {CHIPS.map((chip) => (
          <button
            key={chip}
            type="button"
            class="chip"
            aria-pressed={filterText.value === chip}
            onClick={() => setFilter(filterText.value === chip ? '' : chip)}
          >
            {chip}
          </button>
        ))}
      </div>
      <p id="filter-result" class={filterProblem.value ? 'bad' : 'hint'} role="status">
        {filterProblem.value ?? (filtered.value ? `${count.toLocaleString('en')} of ${trace.value!.summary.rows.toLocaleString('en')}` : '')}
      </p>
    </div>
  );
}
