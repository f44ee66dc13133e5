import { useRef } from 'preact/hooks';

import { close, helpOpen, openFile, save, startLive, theme, trace } from './store';

const NEXT = { auto: 'light', light: 'dark', dark: 'auto' } as const;

export function OpenButton({ label }: { label: string }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" class="primary" onClick={() => input.current?.click()}>
        {label}
      </button>
      <input
        ref={input}
        type="file"
        id="file"
        class="hidden"
        aria-label="Packet trace"
        tabIndex={-1}
        accept=".pcapng,.pcap,.cap,.ntar,.gz,application/vnd.tcpdump.pcap"
        onChange={({ currentTarget }) => {
          const file = currentTarget.files?.[0];
          currentTarget.value = '';
          if (file) void openFile(file);
        }}
      />
    </>
  );
}

export function Header() {
  const open = trace.value;
  return (
    <header class="header">
      <h1>
        <button type="button" class="plain" onClick={close} title="Back to the beginning">
          TURN relay playground
        </button>
      </h1>
      {open && <span class="trace-name">{open.name}</span>}
      <div class="spacer" />
      {open && (
        <>
          <OpenButton label="Open…" />
          {!open.live && (
            <button type="button" onClick={() => void startLive()}>
              Live
            </button>
          )}
          <button type="button" onClick={() => void save()}>
            Save
          </button>
        </>
      )}
      <button type="button" onClick={() => (theme.value = NEXT[theme.value])}>
        Theme: {theme.value}
      </button>
      <button type="button" onClick={() => (helpOpen.value = true)} aria-label="Help">
        ?
      </button>
    </header>
  );
}
