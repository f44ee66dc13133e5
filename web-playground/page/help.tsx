import { useEffect, useRef } from 'preact/hooks';

import { KEYS } from './keyboard';
import { helpOpen } from './store';

const FILTERS: [string, string][] = [
  ['request, response, success, error, indication', 'STUN messages of a class'],
  ['allocate, refresh, binding, channelbind, createpermission, send, dataindication', 'STUN messages of a method'],
  ['data', 'application data, in channels, in indications and as peers see it'],
  ['channeldata, stun, internal, malformed, other', 'packets of a kind'],
  ['rejected, dropped, different, state, truncated, comment', 'packets with a property'],
  ['401', 'error responses with a code, and their requests'],
  ['0x4001', 'ChannelData of a channel'],
  ['192.0.2.1 or [2001:db8::1]:3478 or :3478', 'packets from, to or about an address or port'],
  ['#7 or #7-20', 'packets by number'],
  ['-data', 'not'],
  ['401|438', 'one or the other'],
];

export function HelpDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (helpOpen.value) dialog.current?.showModal();
    else dialog.current?.close();
  }, [helpOpen.value]);
  return (
    <dialog ref={dialog} aria-labelledby="help-title" onClose={() => (helpOpen.value = false)}>
      <h2 id="help-title">Help</h2>
      <h3>Keys</h3>
      <Table rows={KEYS} />
      <h3>Filters</h3>
      <p>Words with spaces between; all must hold.</p>
      <Table rows={FILTERS} />
      <form method="dialog">
        <button type="submit" class="primary">
          Close
        </button>
      </form>
    </dialog>
  );
}

function Table({ rows }: { rows: [string, string][] }) {
  return (
    <table>
      <tbody>
        {rows.map(([key, what]) => (
          <tr key={key}>
            <th scope="row">{key}</th>
            <td>{what}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
