// Links into a trace: `#trace=good-session&packet=12`, `#live`. Packets count from 1, as the list shows them.

export interface Link {
  example: string | null;
  live: boolean;
  row: number | null;
}

export function readLink(hash = location.hash): Link {
  const params = new URLSearchParams(hash.replace(/^#/, ''));
  const packet = Number.parseInt(params.get('packet') ?? '', 10);
  return {
    example: params.get('trace'),
    live: params.has('live'),
    row: Number.isSafeInteger(packet) && packet > 0 ? packet - 1 : null,
  };
}

export function writeLink({ example, live, row }: Link) {
  const params = new URLSearchParams();
  if (example !== null) params.set('trace', example);
  if (row !== null && !live) params.set('packet', String(row + 1));
  const hash = live ? '#live' : params.size > 0 ? `#${params}` : '';
  if (hash !== location.hash) history.replaceState(null, '', hash || location.pathname + location.search);
}
