import { clock, seconds } from './format';
import { nextTrouble, playing, positionOf, rowAt, select, selected, shownCount, speed, step, togglePlay, trace } from './store';

const SPEEDS = [0.25, 0.5, 1, 2, 4, 16];

export function Player() {
  const { columns, summary } = trace.value!;
  if (summary.rows === 0) return null;
  const count = shownCount.value;
  const position = Math.min(positionOf(selected.value), Math.max(0, count - 1));
  const time = columns.times[selected.value] ?? 0;
  return (
    <div class="player" role="toolbar" aria-label="Player">
      <button type="button" onClick={() => select(rowAt(0))} aria-label="First packet">
        |◀
      </button>
      <button type="button" onClick={() => step(-1)} aria-label="Previous packet">
        ‹
      </button>
      <button type="button" class="primary" onClick={togglePlay}>
        {playing.value ? 'Pause' : 'Play'}
      </button>
      <button type="button" onClick={() => step(1)} aria-label="Next packet">
        ›
      </button>
      <button type="button" onClick={() => select(rowAt(count - 1))} aria-label="Last packet">
        ▶|
      </button>
      <button type="button" onClick={() => nextTrouble(1)} title="Refused, dropped or replayed differently">
        Next trouble
      </button>
      <label class="speed">
        Speed
        <select value={speed.value} onChange={({ currentTarget }) => (speed.value = Number(currentTarget.value))}>
          {SPEEDS.map((factor) => (
            <option key={factor} value={factor}>
              {factor}×
            </option>
          ))}
        </select>
      </label>
      <input
        type="range"
        class="scrubber"
        aria-label="Position"
        aria-valuetext={`Packet ${selected.value + 1} of ${summary.rows}`}
        min={0}
        max={Math.max(0, count - 1)}
        value={position}
        disabled={count < 2}
        onInput={({ currentTarget }) => select(rowAt(Number(currentTarget.value)))}
      />
      <output class="position">
        {(selected.value + 1).toLocaleString('en')} / {summary.rows.toLocaleString('en')} · {seconds(time)} s ·{' '}
        {clock(summary.start + time)}
      </output>
    </div>
  );
}
