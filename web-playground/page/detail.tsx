import { BytesView } from './bytes';
import { address, describe, seconds } from './format';
import { type Detail, type Explanation, type Field, NONE } from './model';
import { detail, isInternal, pointed, select, selected, trace } from './store';

const TONES: Record<Explanation['tone'], string> = {
  info: 'Note',
  good: 'Done',
  problem: 'Trouble',
  difference: 'Difference',
};

export function DetailPanel() {
  const { columns, summary } = trace.value!;
  // What is shown belongs to one row, also while the next is on its way.
  const shown = detail.value;
  const row = shown?.row ?? selected.value;
  const related = columns.related[row] ?? NONE;
  if (summary.rows === 0) return <section class="panel detail" aria-label="Details" />;
  return (
    <section class="panel detail" aria-label="Details" tabIndex={0}>
      <h2>
        {isInternal(row) ? 'Event' : 'Packet'} {row + 1}: {describe(row, columns, summary)}
      </h2>
      <p class="hint">
        {seconds(columns.times[row] ?? 0)} s
        {!isInternal(row) && columns.sources[row] !== NONE && (
          <>
            {' · '}
            {address(columns.sources[row]!, summary)} → {address(columns.destinations[row]!, summary)}
          </>
        )}
      </p>
      {related !== NONE && (
        <p>
          <button type="button" class="plain link" onClick={() => select(related)}>
            Belongs to packet {related + 1}: {describe(related, columns, summary)}
          </button>
        </p>
      )}
      {shown && <Contents shown={shown} />}
    </section>
  );
}

function Contents({ shown }: { shown: Detail }) {
  return (
    <>
      {shown.comment !== null && <p class="comment">{shown.comment}</p>}
      {shown.explanations.map((explanation) => (
        <ExplanationBox key={explanation.title} explanation={explanation} />
      ))}
      {shown.fields.length > 0 && (
        <>
          <h3>Fields</h3>
          <ul class="fields" onPointerLeave={() => (pointed.value = null)}>
            {shown.fields.map((field, index) => (
              <FieldNode key={`${shown.row}.${index}`} field={field} open={index === shown.fields.length - 1} depth={0} />
            ))}
          </ul>
          <h3>Bytes</h3>
          <BytesView bytes={shown.bytes} fields={shown.fields} />
        </>
      )}
    </>
  );
}

export function Section({ link }: { link: string }) {
  const match = /\/rfc(\d+)(?:#section-(.+))?$/.exec(link);
  const text = match ? `RFC ${match[1]}${match[2] ? ` §${match[2]}` : ''}` : 'Definition';
  return (
    <a class="rfc" href={link} target="_blank" rel="noreferrer">
      {text}
    </a>
  );
}

/** A paragraph in which options of the relay, and their variables, look like what one types. */
function Prose({ text }: { text: string }) {
  const parts = text.split(/(--[a-z][a-z0-9-]*|[A-Z][A-Z0-9]*_[A-Z0-9_]*(?:=\w+)?|[A-Z]+=\w+)/);
  return <>{parts.map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part))}</>;
}

function ExplanationBox({ explanation }: { explanation: Explanation }) {
  const { tone, title, text, advice, link } = explanation;
  return (
    <article class={`explanation ${tone}`}>
      <h3>
        <span class="tag">{TONES[tone]}</span> {title}
      </h3>
      <p>
        <Prose text={text} /> {link && <Section link={link} />}
      </p>
      {advice && (
        <p>
          <strong>What to do:</strong> <Prose text={advice} />
        </p>
      )}
    </article>
  );
}

function FieldNode({ field, open, depth }: { field: Field; open: boolean; depth: number }) {
  const point = () => (pointed.value = field.range);
  const label = (
    <>
      <span class="name">{field.name}</span> <span class="value">{field.value}</span>
      {field.problem && <span class="bad"> ⚠ {field.problem}</span>}
      {field.note && <span class="hint"> {field.note}</span>}
    </>
  );
  const events = { onPointerOver: (event: PointerEvent) => (event.stopPropagation(), point()), onFocusCapture: point };
  if (!field.children?.length) {
    return (
      <li class="leaf" {...events} onClick={point}>
        {label}
        {field.link && <Section link={field.link} />}
      </li>
    );
  }
  return (
    <li class="branch" {...events}>
      <details open={open || field.problem !== undefined}>
        <summary>{label}</summary>
        <ul>
          {field.children.map((child, index) => (
            <FieldNode key={index} field={child} open={false} depth={depth + 1} />
          ))}
        </ul>
      </details>
      {field.link && <Section link={field.link} />}
    </li>
  );
}
