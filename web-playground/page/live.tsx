import { signal } from '@preact/signals';

import type { Action } from './model';
import { act, trace } from './store';

const CLIENT = 0;
const peer = signal('198.51.100.30:41000');
const channel = signal('0x4001');
const text = signal('hello');
const tamperAt = signal(24);
let hops = 0;

const number = () => Number.parseInt(channel.value, 16) & 0xffff;
const does = (action: Action) => () => void act(action);

/** The visitor plays the client. */
export function LivePanel() {
  return (
    <section class="live" aria-label="Play the client">
      <fieldset>
        <legend>The client asks</legend>
        <button type="button" onClick={does({ do: 'binding', client: CLIENT })}>
          Binding
        </button>
        <button type="button" class="primary" onClick={does({ do: 'allocate', client: CLIENT, dual_stack: false })}>
          Allocate
        </button>
        <button type="button" onClick={does({ do: 'allocate', client: CLIENT, dual_stack: true })}>
          Allocate IPv4 + IPv6
        </button>
        <button type="button" onClick={() => void act({ do: 'bind', client: CLIENT, channel: number(), peer: peer.value })}>
          Bind channel
        </button>
        <button type="button" onClick={() => void act({ do: 'permission', client: CLIENT, peer: peer.value })}>
          Permission
        </button>
        <button type="button" onClick={does({ do: 'refresh', client: CLIENT, seconds: null })}>
          Refresh
        </button>
        <button type="button" onClick={does({ do: 'refresh', client: CLIENT, seconds: 0 })}>
          Delete
        </button>
      </fieldset>
      <fieldset>
        <legend>Data</legend>
        <label>
          Peer{' '}
          <input value={peer.value} size={20} onInput={({ currentTarget }) => (peer.value = currentTarget.value)} />
        </label>
        <label>
          Channel{' '}
          <input value={channel.value} size={7} onInput={({ currentTarget }) => (channel.value = currentTarget.value)} />
        </label>
        <label>
          Text <input value={text.value} size={10} onInput={({ currentTarget }) => (text.value = currentTarget.value)} />
        </label>
        <button type="button" onClick={() => void act({ do: 'send', client: CLIENT, channel: number(), text: text.value })}>
          Client sends
        </button>
        <button type="button" onClick={() => void act({ do: 'send_to', client: CLIENT, peer: peer.value, text: text.value })}>
          Client sends without a channel
        </button>
        <button type="button" onClick={() => void act({ do: 'peer_send', client: CLIENT, peer: peer.value, text: text.value })}>
          Peer sends
        </button>
      </fieldset>
      <fieldset>
        <legend>Make trouble</legend>
        <label>
          Byte{' '}
          <input
            type="number"
            min={0}
            max={1500}
            value={tamperAt.value}
            onInput={({ currentTarget }) => (tamperAt.value = Number(currentTarget.value))}
          />
        </label>
        <button
          type="button"
          onClick={() => void act({ do: 'send_again', client: CLIENT, at: Math.max(0, Math.floor(tamperAt.value)), mask: 1 })}
        >
          Send again with a bit flipped
        </button>
        <button type="button" onClick={does({ do: 'send_again', client: CLIENT, at: 0, mask: 0 })}>
          Send again
        </button>
        <button type="button" onClick={does({ do: 'wrong_password', client: CLIENT })}>
          Wrong password
        </button>
        <button type="button" onClick={does({ do: 'credentials', client: CLIENT, seconds: -180 })}>
          Expired credentials
        </button>
        <button type="button" onClick={does({ do: 'credentials', client: CLIENT, seconds: 3600 })}>
          Good credentials
        </button>
        <button type="button" onClick={() => void act({ do: 'move', client: CLIENT, socket: `192.0.2.10:${50_124 + (hops++ % 10_000)}` })}>
          NAT changes port
        </button>
        <button type="button" onClick={does({ do: 'drain' })}>
          Drain the relay
        </button>
      </fieldset>
      <fieldset>
        <legend>Time</legend>
        {[
          [60, '1 min'],
          [300, '5 min'],
          [600, '10 min'],
          [1500, '25 min'],
        ].map(([seconds, label]) => (
          <button key={label} type="button" onClick={() => void act({ do: 'advance', seconds: seconds as number })}>
            + {label}
          </button>
        ))}
      </fieldset>
      {trace.value?.summary.rows === 0 && (
        <p class="hint" role="status">
          Nothing has been sent yet: let the client allocate.
        </p>
      )}
    </section>
  );
}
