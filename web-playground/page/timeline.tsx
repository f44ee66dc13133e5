import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

import { describe, seconds, span, tone } from './format';
import type { Lanes } from './lanes';
import { Kind, NONE } from './model';
import { filtered, lanes, rowAt, select, selected, shownCount, theme, trace } from './store';

const LANE = 40;
const AXIS = 22;
const LABEL = 150;
const NARROW_LABEL = 86;
/** Arrows closer than this are drawn as one. */
const MERGED = 2;

type Scale = 'order' | 'time';

/** The part of the axis that is in sight, in rows or seconds. */
interface Range {
  from: number;
  to: number;
}

export function Timeline() {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(800);
  const [scale, setScale] = useState<Scale>('order');
  const [range, setRange] = useState<Range | null>(null);
  const drag = useRef<{ x: number; range: Range; moved: boolean } | null>(null);
  const open = trace.value!;
  const layout = lanes.value!;
  const count = shownCount.value;
  const label = width < 600 ? NARROW_LABEL : LABEL;
  const plot = Math.max(50, width - label - 12);
  const whole: Range = scale === 'order' ? { from: -0.5, to: Math.max(0.5, count - 0.5) } : wholeTime(count);
  const shown = range ?? whole;

  function wholeTime(rows: number): Range {
    const first = open.columns.times[rowAt(0)] ?? 0;
    const last = open.columns.times[rowAt(Math.max(0, rows - 1))] ?? 0;
    const margin = Math.max((last - first) * 0.01, 0.0005);
    return { from: first - margin, to: last + margin };
  }

  const at = (position: number) => (scale === 'order' ? position : (open.columns.times[rowAt(position)] ?? 0));
  const x = (position: number) => label + ((at(position) - shown.from) / (shown.to - shown.from)) * plot;
  /** The first position whose place on the axis is not before `value`. */
  const search = (value: number) => {
    let [low, high] = [0, count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (at(middle) < value) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const nearest = (pixel: number) => {
    const value = shown.from + ((pixel - label) / plot) * (shown.to - shown.from);
    const after = Math.min(count - 1, search(value));
    const before = Math.max(0, after - 1);
    return Math.abs(at(before) - value) < Math.abs(at(after) - value) ? before : after;
  };
  const zoom = (factor: number, pixel = label + plot / 2) => {
    const middle = shown.from + ((pixel - label) / plot) * (shown.to - shown.from);
    const least = scale === 'order' ? 4 : 0.0002;
    const size = Math.max(least, (shown.to - shown.from) * factor);
    if (size >= whole.to - whole.from) return setRange(null);
    const from = Math.max(whole.from, Math.min(whole.to - size, middle - (middle - shown.from) * (size / (shown.to - shown.from))));
    setRange({ from, to: from + size });
  };

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  // Another list or scale: everything is shown again; a long trace begins with what can be read.
  useEffect(() => {
    setRange(scale === 'order' && count > 400 ? { from: -0.5, to: 119.5 } : null);
  }, [filtered.value, open.name, scale, open.live ? 0 : open.summary.rows]);

  // The selected row is kept in sight.
  const position = positionIn(selected.value, count);
  useEffect(() => {
    const value = at(position);
    if (range && (value < range.from || value > range.to)) {
      const size = range.to - range.from;
      const from = Math.max(whole.from, Math.min(whole.to - size, value - size / 2));
      setRange({ from, to: from + size });
    }
  }, [selected.value]);

  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const draw = () => paint(element, width, layout, { label, plot, x, search, shown, scale, position });
    draw();
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', draw);
    return () => dark.removeEventListener('change', draw);
  });

  const height = layout.list.length * LANE + AXIS;
  return (
    <section class="timeline" aria-label="Timeline">
      <div class="timeline-tools">
        <div role="group" aria-label="Axis">
          <button type="button" aria-pressed={scale === 'order'} onClick={() => setScale('order')}>
            In order
          </button>
          <button type="button" aria-pressed={scale === 'time'} onClick={() => setScale('time')}>
            In time
          </button>
        </div>
        <button type="button" onClick={() => zoom(0.5, Math.max(label, Math.min(label + plot, x(position))))} aria-label="Zoom in">
          +
        </button>
        <button type="button" onClick={() => zoom(2)} aria-label="Zoom out">
          −
        </button>
        <button type="button" onClick={() => setRange(null)} disabled={range === null}>
          Whole trace
        </button>
        <Legend />
      </div>
      <div ref={box} class="timeline-box">
        <canvas
          ref={canvas}
          style={{ width: `${width}px`, height: `${height}px` }}
          role="img"
          aria-label={`Packets between ${layout.list.map((lane) => `${lane.title} ${lane.subtitle}`).join(', ')}. Use the position slider or the arrow keys to move.`}
          onWheel={(event) => {
            if (!event.ctrlKey && !event.metaKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
            event.preventDefault();
            if (event.ctrlKey || event.metaKey) return zoom(event.deltaY > 0 ? 1.25 : 0.8, event.offsetX);
            if (!range) return;
            const by = (event.deltaX / plot) * (range.to - range.from);
            const from = Math.max(whole.from, Math.min(whole.to - (range.to - range.from), range.from + by));
            setRange({ from, to: from + range.to - range.from });
          }}
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId);
            drag.current = { x: event.offsetX, range: shown, moved: false };
          }}
          onPointerMove={(event) => {
            const start = drag.current;
            if (!start) return;
            const by = event.offsetX - start.x;
            if (!start.moved && Math.abs(by) < 5) return;
            start.moved = true;
            const size = start.range.to - start.range.from;
            const from = Math.max(whole.from, Math.min(whole.to - size, start.range.from - (by / plot) * size));
            if (range) setRange({ from, to: from + size });
          }}
          onPointerUp={(event) => {
            const start = drag.current;
            drag.current = null;
            if (start && !start.moved && count > 0) select(rowAt(nearest(event.offsetX)));
          }}
          onPointerCancel={() => (drag.current = null)}
        />
      </div>
    </section>
  );
}

function positionIn(row: number, count: number): number {
  const rows = filtered.value;
  if (!rows) return Math.min(row, Math.max(0, count - 1));
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle]! < row) low = middle + 1;
    else high = middle;
  }
  return Math.min(low, Math.max(0, count - 1));
}

const TONES = [
  ['request', 'request'],
  ['success', 'success'],
  ['error', 'error'],
  ['data', 'data'],
  ['dropped', 'dropped'],
  ['internal', 'relay event'],
] as const;

function Legend() {
  return (
    <ul class="legend" aria-label="Colours">
      {TONES.map(([name, title]) => (
        <li key={name} class={name}>
          {title}
        </li>
      ))}
    </ul>
  );
}

interface Geometry {
  label: number;
  plot: number;
  x: (position: number) => number;
  search: (value: number) => number;
  shown: Range;
  scale: Scale;
  position: number;
}

function paint(canvas: HTMLCanvasElement, width: number, layout: Lanes, geometry: Geometry) {
  const { label, plot, x, search, shown, scale, position } = geometry;
  const { columns, summary } = trace.value!;
  const count = shownCount.value;
  void theme.value;
  const ratio = devicePixelRatio || 1;
  const height = layout.list.length * LANE + AXIS;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext('2d');
  if (!context) return;
  context.scale(ratio, ratio);
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim() || '#888';
  const y = (lane: number) => lane * LANE + LANE / 2;

  // Lanes.
  context.font = '12px system-ui, sans-serif';
  context.textBaseline = 'middle';
  layout.list.forEach((lane, index) => {
    if (lane.kind === 'relay') {
      context.fillStyle = colour('relay-lane');
      context.fillRect(0, index * LANE, width, LANE);
    }
    context.strokeStyle = colour('line');
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(label, y(index) + 0.5);
    context.lineTo(width, y(index) + 0.5);
    context.stroke();
    context.fillStyle = colour('text');
    context.fillText(lane.title, 6, y(index) - 7, label - 12);
    context.fillStyle = colour('dim');
    context.fillText(lane.subtitle, 6, y(index) + 8, label - 12);
  });

  context.save();
  context.beginPath();
  context.rect(label - 4, 0, plot + 16, height);
  context.clip();

  // The selected row.
  if (count > 0) {
    context.fillStyle = colour('selected');
    context.fillRect(x(position) - 5, 0, 10, height - AXIS);
  }

  // Arrows; of many on one spot, one of each kind.
  const first = Math.max(0, search(shown.from) - 1);
  const last = Math.min(count, search(shown.to) + 1);
  const room = last - first > 0 ? plot / (last - first) : plot;
  const drawn = new Set<number>();
  const tones = new Map<string, string>();
  for (let at = first; at < last; at++) {
    const row = rowAt(at);
    const source = columns.sources[row]!;
    const from = source === NONE ? layout.relay : layout.of[source]!;
    const destination = columns.destinations[row]!;
    const to = destination === NONE ? layout.relay : layout.of[destination]!;
    const kind = tone(row, columns);
    const column = Math.round(x(at) / MERGED);
    if (room < MERGED * 4) {
      const key = ((column * 64 + from) * 64 + to) * 16 + kind.charCodeAt(0) % 16;
      if (drawn.has(key)) continue;
      drawn.add(key);
    }
    let ink = tones.get(kind);
    if (!ink) tones.set(kind, (ink = colour(kind)));
    context.strokeStyle = ink;
    context.fillStyle = ink;
    arrow(context, x(at), y(from), y(to), columns.kinds[row] === Kind.Internal, kind === 'dropped', room);
  }
  context.restore();

  // Labels, where there is room for words.
  if (room > 70) {
    context.fillStyle = colour('text');
    context.font = '11px system-ui, sans-serif';
    for (let at = first; at < last; at++) {
      const row = rowAt(at);
      const place = x(at) + 6;
      if (place < label || place > width) continue;
      const source = columns.sources[row]!;
      const from = source === NONE ? layout.relay : layout.of[source]!;
      const destination = columns.destinations[row]!;
      const to = destination === NONE ? layout.relay : layout.of[destination]!;
      context.fillText(describe(row, columns, summary, true), place, (y(from) + y(to)) / 2 + (from === to ? 14 : 0), room - 10);
    }
  }
  axis(context, label, plot, height, { ...geometry, first, last }, colour('dim'));
  void scale;
}

function arrow(
  context: CanvasRenderingContext2D,
  x: number,
  from: number,
  to: number,
  internal: boolean,
  dropped: boolean,
  room: number,
) {
  if (internal || from === to) {
    context.beginPath();
    context.arc(x, from, Math.max(2, Math.min(5, room / 2)), 0, 7);
    context.fill();
    return;
  }
  const size = Math.max(2, Math.min(5, room / 2));
  const direction = Math.sign(to - from);
  context.lineWidth = room < 4 ? 1 : 1.8;
  context.beginPath();
  context.moveTo(x, from);
  context.lineTo(x, to - direction * size);
  context.stroke();
  context.beginPath();
  if (dropped) {
    context.moveTo(x - size, to - size);
    context.lineTo(x + size, to + size);
    context.moveTo(x + size, to - size);
    context.lineTo(x - size, to + size);
    context.stroke();
    return;
  }
  context.moveTo(x, to);
  context.lineTo(x - size, to - direction * size * 1.6);
  context.lineTo(x + size, to - direction * size * 1.6);
  context.fill();
}

function axis(
  context: CanvasRenderingContext2D,
  label: number,
  plot: number,
  height: number,
  geometry: Geometry & { first: number; last: number },
  colour: string,
) {
  const { columns } = trace.value!;
  const { scale, shown, x, first, last } = geometry;
  context.fillStyle = colour;
  context.font = '11px system-ui, sans-serif';
  context.textBaseline = 'middle';
  const most = Math.max(2, Math.floor(plot / 110));
  const line = height - AXIS / 2;
  if (scale === 'time') {
    const size = (shown.to - shown.from) / most;
    const step = niceStep(size);
    for (let value = Math.ceil(shown.from / step) * step; value <= shown.to; value += step) {
      const place = label + ((value - shown.from) / (shown.to - shown.from)) * plot;
      context.fillText(step >= 1 ? span(value) : `${value.toFixed(Math.max(0, -Math.floor(Math.log10(step))))} s`, place, line);
    }
    return;
  }
  const step = Math.max(1, Math.ceil((last - first) / most));
  for (let at = Math.ceil(first / step) * step; at < last; at += step) {
    const place = x(at);
    if (place < label - 1) continue;
    context.fillText(`${seconds(columns.times[rowAt(at)] ?? 0)} s`, place - 4, line, 100);
  }
}

/** A step of 1, 2 or 5 times a power of ten, or of whole minutes, that is not smaller than `size`. */
function niceStep(size: number): number {
  const minutes = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400];
  if (size > 1) return minutes.find((step) => step >= size) ?? 86400 * Math.ceil(size / 86400);
  const power = 10 ** Math.floor(Math.log10(Math.max(size, 1e-9)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= size) ?? power * 10;
}
