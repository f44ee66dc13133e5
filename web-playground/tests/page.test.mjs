// Uses the built page as a visitor does.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { createRequire } from 'node:module';

import { badFiles, example, large, tcpdump, write } from './captures.mjs';
import { launch, openPage, serve, shot } from './site.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const EXAMPLES = JSON.parse(readFileSync(new URL('../public/examples/index.json', import.meta.url)));

let site;
let browser;
let page;

before(async () => {
  [site, browser] = await Promise.all([serve(), launch()]);
});
after(async () => {
  await browser?.close();
  site?.close();
});
beforeEach(async () => {
  page = await openPage(browser);
});
afterEach(async () => {
  const troubles = page.troubles;
  await page.context().close();
  assert.deepEqual(troubles, [], 'nothing is written to the console');
});

const title = () => page.locator('.detail h2').innerText();
const position = () => page.locator('.position').innerText();
/** Details and state both belong to this row. */
const settled = (row) =>
  page.waitForFunction(
    (number) =>
      new RegExp(` ${number}:`).test(document.querySelector('.detail h2')?.textContent ?? '') &&
      document.querySelector('.state h2')?.textContent.endsWith(`after ${number}`),
    row,
  );
const openExample = async (name, packet = 1) => {
  await page.goto(`${site.url}#trace=${name}&packet=${packet}`);
  await settled(packet);
};
const openFile = (path) => page.setInputFiles('#file', path);

async function accessible(name) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const found = violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map((node) => node.html.slice(0, 120)).join(' | ')}`);
  assert.deepEqual(found, [], name);
}

describe('examples', () => {
  for (const { name, title: shown } of EXAMPLES) {
    test(`${name} opens from its card and replays without a difference`, async () => {
      await page.goto(site.url);
      await page.getByRole('button', { name: shown }).click();
      await page.getByText('Every answer is the one that was recorded.').waitFor();
      await settled(1);
      assert.match(page.url(), new RegExp(`#trace=${name}&packet=1$`));
      await page.keyboard.press('End');
      const count = Number(/\/ (\d+)/.exec(await position())[1]);
      await settled(count);
      await shot(page, `example-${name}`);
    });
  }
});

describe('moving through a trace', () => {
  test('keys, buttons, slider, list and timeline select packets', async () => {
    await openExample('good-session');
    await page.keyboard.press('ArrowRight');
    await settled(2);
    await page.keyboard.press('j');
    await settled(3);
    await page.keyboard.press('k');
    await settled(2);
    await page.keyboard.press('Shift+ArrowRight');
    await settled(12);
    await page.getByRole('button', { name: 'Next packet' }).click();
    await settled(13);
    await page.getByRole('button', { name: 'Previous packet' }).click();
    await settled(12);
    await page.keyboard.press('End');
    await settled(49);
    await page.keyboard.press('Home');
    await settled(1);
    await page.getByRole('slider').fill('19');
    await settled(20);
    await page.locator('#row-22').click();
    await settled(23);
    const canvas = page.locator('canvas');
    const box = await canvas.boundingBox();
    await canvas.click({ position: { x: box.width - 14, y: 30 } });
    await settled(49);
  });

  test('a link leads to a packet, and survives reload and back', async () => {
    await openExample('wrong-password', 6);
    assert.match(await title(), /^Packet 6: /);
    await page.keyboard.press('ArrowRight');
    await settled(7);
    await page.reload();
    await settled(7);
    await page.evaluate(() => (location.hash = '#trace=stale-nonce&packet=3'));
    await page.getByText('A stale nonce').waitFor();
    await settled(3);
  });

  test('the packet that belongs to this one is a key away', async () => {
    await openExample('good-session', 5);
    await page.keyboard.press('r');
    await settled(6);
    await page.keyboard.press('r');
    await settled(5);
  });

  test('trouble is found with a key', async () => {
    await openExample('expired-channel', 14);
    await page.keyboard.press('n');
    await settled(18);
    await page.getByText('The allocation has no such channel').waitFor();
    await page.keyboard.press('n');
    await settled(19);
    await page.keyboard.press('p');
    await settled(18);
  });

  test('play runs to the end and stops, pause holds', async () => {
    await openExample('wrong-password');
    // Slow until it is seen to play, since at full speed that is over before anybody looks.
    await page.getByLabel('Speed').selectOption('0.25');
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await page.getByRole('button', { name: 'Pause' }).waitFor();
    await page.getByLabel('Speed').selectOption('16');
    await page.getByRole('button', { name: 'Play', exact: true }).waitFor();
    const last = Number(/\/ (\d+)/.exec(await position())[1]);
    await settled(last);
    await page.getByLabel('Speed').selectOption('0.25');
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByRole('button', { name: 'Play', exact: true }).waitFor();
  });

  test('the timeline zooms, pans and shows real time', async () => {
    await openExample('stale-nonce', 5);
    await page.getByRole('button', { name: 'In time' }).click();
    await page.getByRole('button', { name: 'Zoom in' }).click();
    await page.getByRole('button', { name: 'Zoom in' }).click();
    assert.equal(await page.getByRole('button', { name: 'Whole trace' }).isEnabled(), true);
    await shot(page, 'timeline-in-time');
    const box = await page.locator('canvas').boundingBox();
    await page.mouse.move(box.x + 600, box.y + 30);
    await page.mouse.down();
    await page.mouse.move(box.x + 300, box.y + 30, { steps: 4 });
    await page.mouse.up();
    await page.getByRole('button', { name: 'Whole trace' }).click();
    assert.equal(await page.getByRole('button', { name: 'Whole trace' }).isEnabled(), false);
  });
});

describe('what is shown of a packet', () => {
  test('every refusal is explained in plain words', async () => {
    await openExample('wrong-password', 5);
    await page.getByText('401: the password is wrong').waitFor();
    await page.getByText('What to do:').waitFor();
    await page.keyboard.press('End');
    await page.getByLabel('Filter').fill('rejected request');
    await page.locator('.row').nth(2).waitFor();
    await page.locator('.row').last().click();
    await page.getByText(/expired 3 minutes \d+ seconds ago/).waitFor();
    await shot(page, 'explanation');
  });

  test('fields point at their bytes, bytes at their field, and sections are linked', async () => {
    await openExample('good-session', 6);
    const relayed = page.locator('.fields .branch', { hasText: 'XOR-RELAYED-ADDRESS' }).last();
    await relayed.locator('summary').hover();
    // 4 bytes of header and 8 of value, in hexadecimal and as text.
    await page.waitForFunction(() => document.querySelectorAll('.bytes .on').length === 24);
    assert.equal(await relayed.getByRole('link').getAttribute('href'), 'https://www.rfc-editor.org/rfc/rfc8656#section-18.5');
    await page.locator('.bytes .hex span').nth(32).hover();
    await page.getByText(/^Magic cookie: /).waitFor();
  });

  test('the state shows what just changed', async () => {
    await openExample('good-session', 9);
    await page.locator('.allocation.changed tr.new', { hasText: '0x4001' }).waitFor();
    await page.keyboard.press('End');
    await page.getByText('No allocations.').waitFor();
    await page.getByText('Application data').first().waitFor();
  });

  test('permissions have their time left, and indications their peer', async () => {
    await openExample('send-indications', 7);
    const permission = page.locator('.allocation tr', { hasText: '198.51.100.30' });
    await page.locator('.allocation tr.new', { hasText: 'holds for 5 min' }).waitFor();
    await page.getByText('Permission of A1 for 198.51.100.30 granted').waitFor();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await settled(9);
    assert.equal(await title(), 'Packet 9: Send indication to 198.51.100.30:41000');
    assert.match(await permission.innerText(), /1 packet in indications/);
    await page.getByLabel('Filter').fill('internal');
    await page.locator('.row').first().click();
    await page.locator('.allocation tr.gone', { hasText: '198.51.100.30' }).waitFor();
    await shot(page, 'permission-ended');
  });
});

describe('recordings of browsers', () => {
  test('it is said why Firefox does not connect', async () => {
    await openExample('firefox-without-indications');
    await page.keyboard.press('n');
    await page.getByText('Dropped: indications are switched off').waitFor();
    await page.getByText(/start the relay with --indications on/).waitFor();
    await page.getByText('Trouble: dropped: send indication (14 times)').click();
    await page.getByRole('button', { name: 'packet 9', exact: true }).waitFor();
    await page.getByText('but for the first 20 bytes of each packet').waitFor();
    await shot(page, 'why-firefox-does-not-connect');
  });

  test('it is said why Chromium does not connect', async () => {
    await openExample('chromium-wrong-family');
    await page.keyboard.press('n');
    await page.getByText('440: the relay has no address of this family').waitFor();
    await page.getByText(/--default-address-family client/).first().waitFor();
    await shot(page, 'why-chromium-does-not-connect');
  });

  test('what Firefox sends is shown as data for a peer', async () => {
    await openExample('firefox');
    await page.getByRole('button', { name: 'indication', exact: true }).click();
    await page.locator('.row', { hasText: /Send to 192\.0\.2\.10:/ }).nth(3).click();
    await page.getByText(/were relayed to the peer/).waitFor();
    await shot(page, 'firefox');
  });
});

describe('filter', () => {
  test('words select, a wrong one is named, chips toggle', async () => {
    await openExample('good-session');
    const filter = page.getByLabel('Filter');
    await page.keyboard.press('/');
    await page.keyboard.type('allocate 401');
    await page.getByText('2 of 49').waitFor();
    assert.equal(await page.locator('.row').count(), 2);
    await filter.fill('allocate bogus');
    await page.getByText('`bogus` is no kind').waitFor();
    await filter.fill('different');
    await page.getByText('No packet passes the filter.').waitFor();
    await filter.fill('');
    await page.getByRole('button', { name: 'state', exact: true }).click();
    await page.getByText(/ of 49/).waitFor();
    await page.getByRole('button', { name: 'state', exact: true }).click();
    await page.locator('.row').nth(10).waitFor();
  });
});

describe('files of the visitor', () => {
  for (const { name, bytes, says, opens } of badFiles()) {
    test(`${name} gets a clear message`, async () => {
      await page.goto(site.url);
      await page.locator('.card').first().waitFor();
      await openFile(write(name, bytes));
      await page.getByRole('alert').filter({ hasText: says }).waitFor();
      if (opens) await settled(1);
      else await page.getByRole('heading', { name: 'Examples' }).waitFor();
      await shot(page, `bad-${name}`);
    });
  }

  for (const name of ['ethernet.pcap', 'linux-sll2.pcap', 'linux-sll-nanosecond.pcap', 'ethernet.pcapng']) {
    test(`a capture of another server is inspected: ${name}`, async () => {
      await page.goto(site.url);
      await openFile(tcpdump(name));
      await page.getByText('Inspection').waitFor();
      await page.getByRole('slider').fill('37');
      await settled(38);
      await page.getByText('0x6780').first().waitFor();
      if (name === 'ethernet.pcap') await shot(page, 'inspection');
    });
  }

  test('a file may be dropped anywhere, also on an open trace', async () => {
    await openExample('good-session', 3);
    const transfer = await page.evaluateHandle((bytes) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], 'dropped.pcapng'));
      return data;
    }, [...example('stale-nonce')]);
    await page.dispatchEvent('.workbench', 'drop', { dataTransfer: transfer });
    await page.getByText('dropped.pcapng').waitFor();
    await settled(1);
  });

  test('what the replay does differently is listed', async () => {
    const changed = Buffer.from(example('good-session'));
    const at = changed.lastIndexOf(Buffer.from('pong 8'));
    changed[at > 0 ? at : changed.lastIndexOf(Buffer.from('pong 2'))] ^= 1;
    await page.goto(site.url);
    await openFile(write('changed.pcapng', changed));
    await page.getByText(/difference.* between recording and replay/).waitFor();
    await page.getByText('Differences', { exact: true }).click();
    await page.getByRole('button', { name: /^Packet \d+$/ }).first().click();
    await page.getByText('The replay differs from the recording').waitFor();
    await shot(page, 'differences');
  });
});

describe('live mode', () => {
  test('the visitor allocates, binds, talks, makes trouble and lets time pass', async () => {
    await page.goto(site.url);
    await page.getByRole('button', { name: 'Play the client of a live relay' }).click();
    await page.getByText('Nothing has been sent yet').waitFor();
    const click = (name) => page.getByRole('button', { name, exact: true }).click();
    await click('Allocate');
    await page.locator('.allocation').waitFor();
    await click('Bind channel');
    await page.locator('.allocation td', { hasText: '0x4001' }).waitFor();
    await click('Client sends');
    await page.locator('.counters tr', { hasText: 'Relayed from clients' }).getByText('1 packet').waitFor();
    await click('Peer sends');
    await page.locator('.counters tr', { hasText: 'Relayed to clients' }).getByText('1 packet').waitFor();
    await page.getByLabel('Peer', { exact: true }).fill('198.51.100.31:41000');
    await click('Client sends without a channel');
    await page.getByText('Dropped: no permission for the peer').waitFor();
    await click('Permission');
    await page.locator('.allocation td', { hasText: '198.51.100.31' }).waitFor();
    await click('Client sends without a channel');
    await page.locator('.counters tr', { hasText: 'Relayed from clients' }).getByText('2 packets').waitFor();
    await page.getByLabel('Byte', { exact: true }).fill('0');
    await click('Refresh');
    await page.getByText('Allocation A1 was refreshed').waitFor();
    await page.getByLabel('Byte', { exact: true }).fill('30');
    await click('Send again with a bit flipped');
    await page.getByText('its lengths contradict each other or its FINGERPRINT is wrong').waitFor();
    await click('+ 10 min');
    await page.locator('.allocation.gone').waitFor();
    await click('Wrong password');
    await click('Allocate');
    await page.getByText('401: the password is wrong').first().waitFor();
    await click('Drain the relay');
    await page.getByText('The relay drains').first().waitFor();
    await page.getByText('Every answer is the one that was recorded.').waitFor();
    await shot(page, 'live');

    const download = page.waitForEvent('download');
    await click('Save');
    await openFile(await (await download).path());
    await page.getByText('Every answer is the one that was recorded.').waitFor();
    await settled(1);
  });

  test('its link holds while it is followed', async () => {
    await openExample('good-session', 3);
    await page.evaluate(() => {
      const replace = history.replaceState.bind(history);
      window.written = [];
      history.replaceState = (state, unused, url) => {
        window.written.push(url);
        replace(state, unused, url);
      };
    });
    await page.goto(`${site.url}#live`);
    await page.getByText('Nothing has been sent yet').waitFor();
    assert.deepEqual(await page.evaluate(() => [window.written, location.hash]), [[], '#live']);
  });

  test('what cannot be is said', async () => {
    await page.goto(`${site.url}#live`);
    await page.getByText('Nothing has been sent yet').waitFor();
    await page.getByRole('button', { name: 'Peer sends' }).click();
    await page.getByRole('alert').getByText('allocate first').waitFor();
    await page.getByLabel('Peer', { exact: true }).fill('nobody');
    await page.getByRole('button', { name: 'Bind channel' }).click();
    await page.getByRole('alert').getByText(/invalid socket address/).waitFor();
    await page.getByRole('button', { name: 'Dismiss' }).click();
  });
});

describe('every visitor', () => {
  for (const scheme of ['light', 'dark']) {
    test(`an automated check finds no barrier, ${scheme}`, async () => {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      await page.goto(site.url);
      await page.locator('.card').first().waitFor();
      await accessible('start');
      await openExample('expired-channel', 18);
      await accessible('trace');
      await shot(page, `trace-${scheme}`);
      await page.keyboard.press('?');
      await page.getByRole('dialog').waitFor();
      await accessible('help');
      await page.getByRole('button', { name: 'Close' }).click();
      await page.goto(`${site.url}#live`);
      await page.reload();
      await page.getByRole('button', { name: 'Allocate', exact: true }).click();
      await page.locator('.allocation').waitFor();
      await accessible('live');
    });
  }

  test('the theme can be chosen', async () => {
    await page.emulateMedia({ colorScheme: 'light' });
    await page.goto(site.url);
    const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const light = await background();
    await page.getByRole('button', { name: 'Theme: auto' }).click();
    await page.getByRole('button', { name: 'Theme: light' }).click();
    await page.getByRole('button', { name: 'Theme: dark' }).waitFor();
    assert.notEqual(await background(), light);
  });

  test('a phone shows one panel at a time and nothing sticks out', async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    await openExample('expired-channel', 20);
    for (const panel of ['Details', 'State', 'Packets']) {
      await page.getByRole('button', { name: panel, exact: true }).click();
      assert.equal(await page.locator('.panel:visible').count(), 1);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
      assert.equal(wide, false, `${panel} is wider than the screen`);
      await shot(page, `phone-${panel.toLowerCase()}`);
    }
    await accessible('phone');
  });
});

test('a million packets stay usable', { timeout: 300_000 }, async () => {
  page.setDefaultTimeout(120_000);
  const { bytes, packets } = large(1_000_000);
  await page.goto(site.url);
  await page.locator('.card').first().waitFor();
  await openFile(write('million.pcapng', bytes));
  await page.getByRole('progressbar').waitFor();
  await page.getByText(/driven by 1,000,0\d\d packets/).waitFor();
  await page.getByText('Every answer is the one that was recorded.').waitFor();
  await settled(1);
  assert.ok((await page.locator('.row').count()) < 100, 'only what is in sight is laid out');

  await page.keyboard.press('End');
  await settled(packets);
  await page.locator(`#row-${packets - 1}`).waitFor();
  await page.locator('.counters tr', { hasText: 'Relayed from clients' }).getByText('250,001 packets').waitFor();
  await page.getByRole('slider').fill('500000');
  await settled(500_001);
  await shot(page, 'million');
  await page.getByRole('button', { name: 'Whole trace' }).click();
  await page.getByLabel('Filter').fill('allocate|channelbind #1-100');
  await page.getByText(/^6 of 1,000,0/).waitFor();
  await page.getByLabel('Filter').fill('#900001-');
  await page.getByText('is no kind').waitFor();
  await page.getByLabel('Filter').fill('channeldata');
  await page.getByText(/^500,\d\d\d of/).waitFor();
  await page.locator('.rows').evaluate((element) => (element.scrollTop = element.scrollHeight / 2));
  await page.locator('.row').nth(5).click();
  await page.waitForFunction(() => /: ChannelData/.test(document.querySelector('.detail h2')?.textContent ?? ''));
  await shot(page, 'million-filtered');
});
