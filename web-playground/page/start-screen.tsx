import { OpenButton } from './header';
import { examples, openExample, startLive } from './store';

export function StartScreen() {
  return (
    <main class="start">
      <section>
        <h2>Watch a TURN relay think</h2>
        <p>
          TURN fails silently. Here the state machine that runs in production runs in your browser, fed with a packet trace one
          packet at a time, forwards and backwards: what each packet says, what the relay made of it, and why it refused. Nothing
          leaves your machine.
        </p>
        <p class="actions">
          <OpenButton label="Open a trace…" />
          <button type="button" onClick={() => void startLive()}>
            Play the client of a live relay
          </button>
        </p>
        <p class="hint">
          Or drop a file anywhere: a pcapng or pcap capture (tcpdump, Wireshark), of any TURN server, or a recording by the relay
          itself (<code>firezone-relay --record-trace FILE</code>), which can be replayed.
        </p>
      </section>
      <section aria-labelledby="examples-title">
        <h2 id="examples-title">Examples</h2>
        <ul class="examples">
          {examples.value.map(({ name, title, story }) => (
            <li key={name}>
              <button type="button" class="card" onClick={() => void openExample(name)}>
                <strong>{title}</strong>
                <span>{story}</span>
              </button>
            </li>
          ))}
        </ul>
      </section>
    </main>
  );
}
