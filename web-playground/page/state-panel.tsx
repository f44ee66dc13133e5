import { bytes, hex, plural, span } from './format';
import type { Allocation, Counters, State } from './model';
import { state, trace } from './store';

/** An allocation may have 4,096 of them. */
const MOST_PERMISSIONS = 50;

export function StatePanel() {
  const shown = state.value;
  return (
    <section class="panel state" aria-label="State" tabIndex={0}>
      <h2>
        {trace.value?.summary.mode === 'inspection' ? 'Inferred state' : 'The relay’s state'}
        {shown && ` after ${shown.row + 1}`}
      </h2>
      {shown && <Contents shown={shown} />}
      {!shown && trace.value?.summary.rows === 0 && <p class="hint">No allocations.</p>}
    </section>
  );
}

function Contents({ shown }: { shown: State }) {
  const more = shown.live - shown.allocations.length;
  return (
    <>
      {shown.draining && <p class="notice warning">The relay drains: it takes no new allocations.</p>}
      {shown.removed.map((allocation) => (
        <AllocationCard key={allocation.name} allocation={allocation} now={shown.now} gone />
      ))}
      {shown.allocations.map((allocation) => (
        <AllocationCard key={allocation.name} allocation={allocation} now={shown.now} gone={false} />
      ))}
      {more > 0 && <p class="hint">and {plural(more, 'more allocation')}</p>}
      {shown.live === 0 && shown.removed.length === 0 && <p class="hint">No allocations.</p>}
      <CountersTable counters={shown.counters} before={shown.counters_before} />
    </>
  );
}

function AllocationCard({ allocation, now, gone }: { allocation: Allocation; now: number; gone: boolean }) {
  const change = gone ? 'gone' : allocation.change;
  const channels = Object.entries(allocation.channels);
  const permissions = Object.entries(allocation.permissions);
  return (
    <article class={`allocation ${change ?? ''}`}>
      <h3>
        Allocation {allocation.name} {change && <span class="tag">{change}</span>}
      </h3>
      <dl>
        <dt>Client</dt>
        <dd>{allocation.client}</dd>
        {allocation.relayed.map((relayed) => (
          <div key={relayed.address} class="pair">
            <dt>Relayed at</dt>
            <dd>
              {relayed.address}
              {!gone && <Timer left={relayed.expires_at - now} of={relayed.lifetime} what="ends in" />}
            </dd>
          </div>
        ))}
        {allocation.username && (
          <>
            <dt>Username</dt>
            <dd>{allocation.username}</dd>
          </>
        )}
        <dt>Relayed</dt>
        <dd>
          {bytes(allocation.bytes_up)} up, {bytes(allocation.bytes_down)} down
        </dd>
      </dl>
      {(channels.length > 0 || allocation.removed_channels.length > 0) && (
        <table>
          <thead>
            <tr>
              <th scope="col">Channel</th>
              <th scope="col">Peer</th>
              <th scope="col">State</th>
            </tr>
          </thead>
          <tbody>
            {channels.map(([number, channel]) => (
              <tr key={number} class={gone ? '' : (allocation.channel_changes[number] ?? '')}>
                <td>{hex(Number(number))}</td>
                <td>{channel.peer}</td>
                <td>
                  {channel.bound ? (
                    <Timer left={channel.expires_at - now} of={600} what="bound for" />
                  ) : (
                    <Timer left={channel.reusable_at - now} of={300} what="lapsed, reserved for" />
                  )}
                  {plural(channel.packets, 'packet')}
                </td>
              </tr>
            ))}
            {allocation.removed_channels.map((number) => (
              <tr key={number} class="gone">
                <td>{hex(number)}</td>
                <td colSpan={2}>free again</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {(permissions.length > 0 || allocation.removed_permissions.length > 0) && (
        <table>
          <thead>
            <tr>
              <th scope="col">Permission for</th>
              <th scope="col">State</th>
            </tr>
          </thead>
          <tbody>
            {permissions.slice(0, MOST_PERMISSIONS).map(([address, permission]) => (
              <tr key={address} class={gone ? '' : (allocation.permission_changes[address] ?? '')}>
                <td>{address}</td>
                <td>
                  <Timer left={permission.expires_at - now} of={300} what="holds for" />
                  {plural(permission.packets, 'packet')} in indications
                </td>
              </tr>
            ))}
            {allocation.removed_permissions.slice(0, MOST_PERMISSIONS).map((address) => (
              <tr key={address} class="gone">
                <td>{address}</td>
                <td>ended</td>
              </tr>
            ))}
          </tbody>
          {permissions.length > MOST_PERMISSIONS && (
            <caption class="hint">and {plural(permissions.length - MOST_PERMISSIONS, 'more permission')}</caption>
          )}
        </table>
      )}
    </article>
  );
}

function Timer({ left, of, what }: { left: number; of: number; what: string }) {
  const part = Math.max(0, Math.min(1, left / of));
  return (
    <span class="timer">
      {what} {span(left)}
      <span class="bar" aria-hidden="true">
        <span style={{ width: `${part * 100}%` }} class={part < 0.15 ? 'low' : undefined} />
      </span>
    </span>
  );
}

function CountersTable({ counters, before }: { counters: Counters; before: Counters }) {
  const rows: [string, string, boolean][] = [
    ['Success responses', String(counters.successes), counters.successes !== before.successes],
    ...Object.entries(counters.errors).map(
      ([code, count]) => [`Error ${code}`, String(count), count !== before.errors[code]] as [string, string, boolean],
    ),
    ...Object.entries(counters.drops).map(
      ([reason, count]) => [`Dropped: ${reason}`, String(count), count !== before.drops[reason]] as [string, string, boolean],
    ),
    ['Relayed from clients', `${plural(counters.packets_up, 'packet')}, ${bytes(counters.bytes_up)}`, counters.packets_up !== before.packets_up],
    ['Relayed to clients', `${plural(counters.packets_down, 'packet')}, ${bytes(counters.bytes_down)}`, counters.packets_down !== before.packets_down],
  ];
  return (
    <table class="counters">
      <caption>Counters</caption>
      <tbody>
        {rows.map(([name, value, changed]) => (
          <tr key={name} class={changed ? 'changed' : ''}>
            <th scope="row">{name}</th>
            <td>{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
