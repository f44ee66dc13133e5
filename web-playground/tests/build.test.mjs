// What visitors download: small, and free of anything that a browser does not have.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { dist } from './site.mjs';

/** Budgets in bytes after gzip, as web hosts send them. */
const BUDGETS = { wasm: 400_000, js: 60_000, css: 10_000 };

/** Where this checkout is. */
const repository = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const assets = readdirSync(join(dist, 'assets')).map((name) => ({ name, bytes: readFileSync(join(dist, 'assets', name)) }));

for (const [ending, budget] of Object.entries(BUDGETS)) {
  test(`${ending} files fit ${budget} bytes`, () => {
    const files = assets.filter(({ name }) => name.endsWith(`.${ending}`));
    assert.ok(files.length > 0);
    const size = files.reduce((sum, { bytes }) => sum + gzipSync(bytes, { level: 9 }).length, 0);
    assert.ok(size <= budget, `${size} bytes`);
  });
}

test('the module imports nothing from env', () => {
  const module = new WebAssembly.Module(assets.find(({ name }) => name.endsWith('.wasm')).bytes);
  const names = WebAssembly.Module.imports(module).map(({ module }) => module);
  assert.deepEqual(names.filter((name) => !name.endsWith('_bg.js')), []);
});

test('nothing in the build names the machine that it was built on', () => {
  for (const { name, bytes } of assets) {
    for (const path of [homedir(), repository, '/home/', '.cargo/registry']) {
      assert.equal(bytes.includes(path), false, `${name} holds ${path}`);
    }
  }
});
