import { DetailPanel } from './detail';
import { Header } from './header';
import { HelpDialog } from './help';
import { LivePanel } from './live';
import { Notices } from './notices';
import { PacketList } from './packet-list';
import { Player } from './player';
import { StartScreen } from './start-screen';
import { StatePanel } from './state-panel';
import { loading, openFile, panel, problem, trace } from './store';
import { Timeline } from './timeline';

function drop(event: DragEvent) {
  event.preventDefault();
  document.body.classList.remove('dropping');
  const file = event.dataTransfer?.files[0];
  if (file) void openFile(file);
}

function dragOver(event: DragEvent) {
  event.preventDefault();
  document.body.classList.add('dropping');
}

export function App() {
  const open = trace.value;
  return (
    <div
      class={open ? 'app open' : 'app'}
      onDragOver={dragOver}
      onDragLeave={() => document.body.classList.remove('dropping')}
      onDrop={drop}
    >
      <Header />
      {loading.value && <Progress />}
      {problem.value && (
        <div class="notice problem" role="alert">
          <p>{problem.value}</p>
          <button type="button" onClick={() => (problem.value = null)}>
            Dismiss
          </button>
        </div>
      )}
      {open ? <Workbench live={open.live} /> : <StartScreen />}
      <HelpDialog />
    </div>
  );
}

function Progress() {
  const { name, done, rows } = loading.value!;
  return (
    <div class="notice progress" role="status">
      <label>
        Reading {name}: {rows.toLocaleString('en')} packets
        <progress max={1} value={done} />
      </label>
    </div>
  );
}

const PANELS = [
  ['list', 'Packets'],
  ['detail', 'Details'],
  ['state', 'State'],
] as const;

function Workbench({ live }: { live: boolean }) {
  return (
    <main class={`workbench show-${panel.value}`}>
      <Notices />
      {live && <LivePanel />}
      <Timeline />
      <Player />
      <div class="tabs" role="group" aria-label="Panel">
        {PANELS.map(([name, title]) => (
          <button key={name} type="button" aria-pressed={panel.value === name} onClick={() => (panel.value = name)}>
            {title}
          </button>
        ))}
      </div>
      <div class="panels">
        <PacketList />
        <DetailPanel />
        <StatePanel />
      </div>
    </main>
  );
}
