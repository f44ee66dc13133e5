import { plural } from './format';
import type { Trouble } from './model';
import { differences, select, trace } from './store';

const times = ({ text, count }: Trouble) => (count > 1 ? `${text} (${count.toLocaleString('en')} times)` : text);

/** What a reader should know about the trace as a whole. */
export function Notices() {
  const { summary, live } = trace.value!;
  const unusable = summary.unusable === summary.packets && summary.packets > 0;
  return (
    <div class="notices">
      <p class="mode">
        {summary.mode === 'replay' ? (
          <>
            <strong>{live ? 'Live' : 'Replay'}</strong>: the relay’s own state machine, driven by{' '}
            {plural(summary.packets, 'packet')}.{' '}
            {summary.differences === 0 ? (
              <span class="good">Every answer is the one that was recorded.</span>
            ) : (
              <span class="bad">{plural(summary.differences, 'difference')} between recording and replay.</span>
            )}
          </>
        ) : (
          <>
            <strong>Inspection</strong>: {plural(summary.packets, 'packet')}, decoded and correlated; the state is inferred from
            what the relay answered. {summary.modeReason && <>Not replayed, because {summary.modeReason}.</>}
          </>
        )}
      </p>
      {summary.payloadLimit !== null && (
        <p class="mode">
          Application data is not in this recording, but for the first {plural(summary.payloadLimit, 'byte')} of each packet.
        </p>
      )}
      {summary.troubles.length > 0 && (
        <details class="mode">
          <summary>
            <strong>Trouble</strong>: {summary.troubles.slice(0, 3).map(times).join(', ')}
            {summary.troubles.length > 3 && ' and more'}
          </summary>
          <ul>
            {summary.troubles.map((trouble) => (
              <li key={trouble.row + trouble.text}>
                {times(trouble)}, first in{' '}
                <button type="button" class="plain link" onClick={() => select(trouble.row)}>
                  packet {trouble.row + 1}
                </button>
              </li>
            ))}
          </ul>
        </details>
      )}
      {summary.error && (
        <p class="notice warning" role="alert">
          What could be read is shown; then {summary.error}.
        </p>
      )}
      {summary.warnings.map((warning) => (
        <p key={warning} class="notice warning">
          {warning}
        </p>
      ))}
      {summary.dropped > 0 && (
        <p class="notice warning">{plural(summary.dropped, 'packet')} could not be recorded and are missing here.</p>
      )}
      {unusable && (
        <p class="notice warning" role="alert">
          No packet of this capture holds a UDP datagram that can be read. Captures of Ethernet, raw IP, Linux cooked and
          loopback frames can.
        </p>
      )}
      {differences.value.length > 0 && (
        <details>
          <summary>Differences</summary>
          <ol>
            {differences.value.map(({ row, text }) => (
              <li key={`${row} ${text}`}>
                <button type="button" class="plain link" onClick={() => select(row)}>
                  Packet {row + 1}
                </button>
                : {text}
              </li>
            ))}
          </ol>
        </details>
      )}
    </div>
  );
}
