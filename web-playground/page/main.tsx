import { render } from 'preact';

import { App } from './app';
import { listenToKeys } from './keyboard';
import { start } from './store';

const root = document.getElementById('app');
if (root) {
  render(<App />, root);
  listenToKeys();
  void start();
}
