// The page of `cargo xtask webrtc-demo` in headless Chromium: a call that works, and calls that do not, each for its reason.
// `cargo xtask test --only webrtc-demo` runs this; pictures of the page are left in target/webrtc-demo.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';

import { chromium } from 'playwright-core';

const { XTASK, PICTURES } = process.env;
// Far beyond what any machine needs.
const PATIENCE = { timeout: 90_000 };

let browser;
before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
      '--allow-loopback-in-peer-connection', '--disable-features=WebRtcHideLocalIpsWithMdns',
    ],
  });
});
after(() => browser?.close());

/** Starts the demo with a relay on loopback, opens its page, and ends both after `check`. */
async function withDemo(options, check) {
  const port = 20_000 + Math.floor(Math.random() * 10_000);
  const relay = ['--public-ip4-addr', '127.0.0.1', '--listen-port', port, '--control-endpoint', 'off', '--drain-timeout', '0s', ...options];
  const demo = spawn(XTASK, ['webrtc-demo', '--port', '0', '--', ...relay.map(String)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(demo, 'exit');
  try {
    const lines = createInterface({ input: demo.stdout });
    let address;
    for await (const line of lines) if ((address = line.match(/^Open (\S+)/)?.[1])) break;
    assert.ok(address, 'the demo ended before it served a page');
    const page = await browser.newPage({ viewport: { width: 1200, height: 1150 } });
    const troubles = [];
    page.on('pageerror', (error) => troubles.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && troubles.push(message.text()));
    await page.goto(address);
    await check(page);
    assert.deepEqual(troubles, []);
    await page.close();
  } finally {
    demo.kill('SIGINT');
    await ended;
  }
}

const picture = (page, name) => page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });
const verdict = (page, state) => page.locator(`#verdict[data-state="${state}"]`).waitFor(PATIENCE);

/** Waits until an element's text matches. */
const says = (page, selector, pattern) =>
  page.waitForFunction(([selector, source]) => new RegExp(source).test(document.querySelector(selector)?.textContent ?? ''), [selector, pattern.source], PATIENCE);

test('a call through the relay works and shows its figures', async () => {
  await withDemo([], async (page) => {
    await verdict(page, 'good');
    assert.equal(await page.locator('#steps li[data-state="done"]').count(), 6);
    await says(page, '#pair-local', /^127\.0\.0\.1:\d+$/);
    await says(page, '#pair-remote', /^127\.0\.0\.1:\d+$/);
    await says(page, '#packets', /^[1-9]\d*$/);
    await says(page, '#round-trip', /^\d+\.\d$/);
    await says(page, '#loss', /^\d+\.\d$/);
    // Both clients' allocations, and data.
    await says(page, '#counters', /active_allocations[1-9]/);
    await says(page, '#counters', /data_relayed_userspace_bytes_total[1-9]/);
    for (const side of ['a', 'b']) assert.ok(await page.evaluate((side) => document.getElementById(`video-${side}`).videoWidth > 0, side));
    // So that the picture shows some history.
    await page.waitForTimeout(5000);
    await picture(page, 'works');
    await page.click('#restart');
    await says(page, '#verdict', /ICE restarted: A moved from/);
    await page.click('#stop');
    await says(page, '#verdict', /Hung up/);
    await page.click('#start');
    await verdict(page, 'good');
  });
});

test('without indications the page says so', async () => {
  await withDemo(['--indications', 'off'], async (page) => {
    await verdict(page, 'bad');
    await says(page, '#verdict', /connectivity checks failed.*The relay dropped [1-9]\d* Send indications.*--indications on/);
    assert.equal(await page.locator('#step-gather').getAttribute('data-state'), 'done');
    assert.equal(await page.locator('#step-path').getAttribute('data-state'), 'failed');
    await picture(page, 'without-indications');
  });
});

test('a relay that grants no allocation is named with the reason', async () => {
  // With a secret of its own the relay limits the user of the credential that it prints, too.
  await withDemo(['--auth-secret', '0123456789abcdef', '--allocations-per-username', '1'], async (page) => {
    await verdict(page, 'bad');
    await says(page, '#verdict', /no allocation.*\(486\).*--allocations-per-username/);
    assert.equal(await page.locator('#step-gather').getAttribute('data-state'), 'failed');
    await picture(page, 'no-allocation');
  });
});

test('a demo that has ended is named', async () => {
  await withDemo([], async (page) => {
    await page.route('**/ice-server.json', (route) => route.abort());
    const [quiet] = [page.listeners('console')];
    quiet.forEach((listener) => page.off('console', listener));
    await page.reload();
    await says(page, '#verdict', /demo's server does not answer/);
    assert.equal(await page.locator('#step-relay').getAttribute('data-state'), 'failed');
  });
});
