// Keys that work anywhere on the page.

import { helpOpen, nextTrouble, rowAt, select, selectRelated, shownCount, step, togglePlay, trace } from './store';

export const KEYS: [string, string][] = [
  ['→ or j', 'next packet'],
  ['← or k', 'previous packet'],
  ['Shift + → / ←', 'ten packets on or back'],
  ['Home / End', 'first or last packet'],
  ['Space', 'play or pause'],
  ['r', 'the packet that belongs to this one: answer, request, other half of what was relayed'],
  ['n / p', 'next or previous trouble: refused, dropped, or replayed differently'],
  ['/', 'filter'],
  ['?', 'this help'],
];

const typing = (target: EventTarget | null) =>
  target instanceof HTMLElement && target.matches('input:not([type=range]), textarea, select');

export function listenToKeys() {
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === '?' && !typing(event.target)) {
      helpOpen.value = true;
      return;
    }
    if (!trace.value || typing(event.target) || helpOpen.value) return;
    const onControl = event.target instanceof HTMLElement && event.target.matches('button, a, summary, input');
    const far = event.shiftKey ? 10 : 1;
    switch (event.key) {
      case 'ArrowRight':
      case 'ArrowDown':
      case 'j':
        step(far);
        break;
      case 'ArrowLeft':
      case 'ArrowUp':
      case 'k':
        step(-far);
        break;
      case 'PageDown':
        step(20);
        break;
      case 'PageUp':
        step(-20);
        break;
      case 'Home':
        select(rowAt(0));
        break;
      case 'End':
        select(rowAt(shownCount.value - 1));
        break;
      case ' ':
        // A button under the focus is pressed by the space bar.
        if (onControl) return;
        togglePlay();
        break;
      case 'r':
        selectRelated();
        break;
      case 'n':
        nextTrouble(1);
        break;
      case 'p':
        nextTrouble(-1);
        break;
      case '/':
        document.getElementById('filter')?.focus();
        break;
      default:
        return;
    }
    event.preventDefault();
  });
}
