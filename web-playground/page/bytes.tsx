import { useState } from 'preact/hooks';

import type { Field } from './model';
import { pointed } from './store';

const WIDTH = 16;
/** More than this is shown on request: large packets are mostly application data. */
const SHOWN = 512;

const printable = (byte: number) => (byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·');

/** The innermost field at a byte. */
function fieldAt(fields: Field[], at: number): Field | null {
  for (const field of fields) {
    if (at >= field.range.start && at < field.range.end) return fieldAt(field.children ?? [], at) ?? field;
  }
  return null;
}

export function BytesView({ bytes, fields }: { bytes: Uint8Array; fields: Field[] }) {
  const [all, setAll] = useState(false);
  const length = all ? bytes.length : Math.min(bytes.length, SHOWN);
  const range = pointed.value;
  const marked = (at: number) => range !== null && at >= range.start && at < range.end;
  const over = (event: PointerEvent) => {
    const at = event.target instanceof HTMLElement ? Number(event.target.dataset.at ?? NaN) : NaN;
    if (!Number.isNaN(at)) pointed.value = fieldAt(fields, at)?.range ?? null;
  };
  const lines = [];
  for (let start = 0; start < length; start += WIDTH) {
    const cells = Array.from(bytes.subarray(start, Math.min(start + WIDTH, length)), (byte, index) => ({ byte, at: start + index }));
    lines.push(
      <div class="line" key={start}>
        <span class="offset">{start.toString(16).padStart(4, '0')}</span>
        <span class="hex">
          {cells.map(({ byte, at }) => (
            <span key={at} data-at={at} class={marked(at) ? 'on' : undefined}>
              {byte.toString(16).padStart(2, '0')}
            </span>
          ))}
        </span>
        <span class="text">
          {cells.map(({ byte, at }) => (
            <span key={at} data-at={at} class={marked(at) ? 'on' : undefined}>
              {printable(byte)}
            </span>
          ))}
        </span>
      </div>,
    );
  }
  const pointedField = range && fieldAt(fields, range.start);
  return (
    <>
      <p class="hint pointed">
        {pointedField ? `${pointedField.name}: ${pointedField.value}` : 'Point at a byte or a field.'}
      </p>
      <div
        class="bytes"
        role="group"
        tabIndex={0}
        aria-label={`${bytes.length} bytes of the packet`}
        onPointerOver={over}
        onPointerLeave={() => (pointed.value = null)}
      >
        {lines}
      </div>
      {length < bytes.length && (
        <button type="button" onClick={() => setAll(true)}>
          Show all {bytes.length} bytes
        </button>
      )}
    </>
  );
}
