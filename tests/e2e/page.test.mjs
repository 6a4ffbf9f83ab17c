// SPDX-License-Identifier: Apache-2.0
//
// The page at `/` of the demo server, in a real browser.
import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { launch } from './fixture/browser.mjs';
import { range, RawClient } from './fixture/raw_client.mjs';
import { Server } from './fixture/server.mjs';
import { until } from './fixture/wait.mjs';

describe('page', { concurrency: false }, () => {
  let server;
  let browser;
  let page;
  const complaints = [];
  const screenshot = (name) => page.screenshot({
    path: join(process.env.TRUNKLINE_SCREENSHOTS ?? tmpdir(), `trunkline-${name}.png`), fullPage: true,
  });
  const card = (channel) => page.locator(`[data-channel="${channel}"]`);
  const subscribed = (channel) => page.locator(`[data-channel="${channel}"][data-state="subscribed"]`).waitFor();
  // The offset that a card shows; the page writes it with the next frame it draws.
  const offset = async (channel) => {
    const shown = card(channel).locator('[data-field="offset"]').filter({ hasText: /^\d+$/ });
    return Number(await shown.textContent());
  };
  const verdict = (channel) => card(channel).locator('[data-field="verdict"]').evaluate((node) => ({ ...node.dataset }));
  const data = (channel) => card(channel).locator('tbody tr td:nth-child(2)').allTextContents();
  const visit = async (path = '/', options = {}) => {
    if (page) await page.close();
    page = await browser.newPage({ viewport: { width: 1360, height: 900 }, ...options });
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
    await page.goto(server.url + path);
  };
  const publish = async (channel, text) => {
    await card(channel).getByRole('textbox').fill(text);
    await card(channel).getByRole('textbox').press('Enter');
  };
  before(async () => {
    server = await Server.start({ demo: true });
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await server.stop();
  });

  it('connects and watches the channel demo by itself', async () => {
    await visit();
    await subscribed('demo');
    assert.equal(await page.locator('#connection-state').getAttribute('data-state'), 'connected');
    assert.match(await page.locator('#client-id').getAttribute('data-client'), /^[0-9a-f-]{36}$/);
    assert.equal(await page.locator('#ping').textContent(), '25 s');
    await screenshot('start');
  });

  it('publishes JSON and text, and shows both as they came', async () => {
    await publish('demo', '{"n": 1}');
    await publish('demo', 'hello');
    await card('demo').locator('tr[data-offset="2"]').waitFor();
    assert.deepEqual(await data('demo'), ['"hello"', '{"n":1}']);
    const seen = await verdict('demo');
    assert.deepEqual([seen.received, seen.gaps, seen.duplicates], ['2', '0', '0']);
  });

  it('shows markup as text', async () => {
    const text = '<img src=x onerror="document.title=1">';
    await publish('demo', text);
    await card('demo').locator('tr[data-offset="3"]').waitFor();
    assert.equal((await data('demo'))[0], JSON.stringify(text));
    assert.equal(await page.locator('img').count(), 0);
  });

  it('watches several channels at once and leaves one', async () => {
    for (const name of ['prices', 'news']) {
      await page.getByLabel('Watch another channel').fill(name);
      await page.getByRole('button', { name: 'Watch', exact: true }).click();
      await subscribed(name);
    }
    await page.getByRole('button', { name: 'Leave news' }).click();
    assert.deepEqual(await page.locator('[data-channel]').evaluateAll((cards) => cards.map((each) => each.dataset.channel)), ['demo', 'prices']);
  });

  it('publishes by itself', async () => {
    await card('prices').getByRole('switch').check();
    await card('prices').locator('tr[data-offset="10"]').waitFor();
    await card('prices').getByRole('switch').uncheck();
  });

  it('drops the connection, comes back and shows exactly what was recovered', async () => {
    const last = await offset('demo');
    await page.locator('#drop').click();
    await page.locator('#drill[data-phase="away"]').waitFor();
    assert.equal(await page.locator('#connection-state').getAttribute('data-state'), 'away');
    await screenshot('away');
    await page.locator('#drill[data-phase="done"]').waitFor();
    const text = await page.locator('#drill-verdict').textContent();
    const found = /demo: missed (\d+), recovered (\d+), no gap, no duplicate \(offsets (\d+) to (\d+)\)/.exec(text);
    assert.ok(found, text);
    const [missed, recovered, from, to] = found.slice(1).map(Number);
    assert.ok(missed > 0);
    assert.deepEqual([recovered, from, to], [missed, last + 1, last + missed]);
    assert.match(text, /prices: missed \d+, recovered \d+, no gap, no duplicate/);
    const marked = card('demo').locator('tr[data-recovered="true"]');
    await until(async () => await marked.count() === missed, 'the recovered rows are marked');
    const offsets = await marked.evaluateAll((rows) => rows.map((row) => Number(row.dataset.offset)));
    assert.deepEqual(offsets.reverse(), range(from, to));
    const seen = await verdict('demo');
    assert.deepEqual([seen.gaps, seen.duplicates, seen.lost], ['0', '0', '0']);
    await screenshot('recovered');
  });

  it('says so when the log no longer holds what was missed', async () => {
    await page.locator('#drop').click();
    await page.locator('#drill[data-phase="away"]').waitFor();
    const publisher = await RawClient.connect(server);
    const step = 500;
    for (let first = 0; first < 3000; first += step) { // more than any demo server recovers at once
      await Promise.all(range(1, step).map((n) => publisher.ask('publish', { channel: 'demo', data: { n: first + n } })));
    }
    publisher.end();
    await page.locator('#drill[data-phase="lost"]').waitFor();
    assert.match(await page.locator('#drill-verdict').textContent(), /demo: missed \d+, recovered 0: the log no longer held them/);
    await until(async () => Number((await verdict('demo')).lost) > 0, 'the loss is counted');
    await screenshot('lost');
  });

  it('shows the server\'s own counters', async () => {
    await until(async () => Number(await page.locator('#counter-publications').getAttribute('data-value')) >= 15, 'publications');
    assert.ok(Number(await page.locator('#counter-connections').getAttribute('data-value')) >= 1);
    assert.ok(Number(await page.locator('#counter-subscriptions').getAttribute('data-value')) >= 2);
  });

  it('puts an error in words', async () => {
    await page.getByLabel('Watch another channel').fill('nowhere:at-all');
    await page.getByLabel('Watch another channel').press('Enter');
    await card('nowhere:at-all').getByText('there is no such namespace (102)').waitFor();
  });

  it('takes the channel from the address', async () => {
    await visit('/#from%20hash'.replace('%20', '-'));
    await subscribed('from-hash');
    assert.equal(await page.locator('[data-channel]').count(), 1);
  });

  it('fits a narrow screen, in the dark', async () => {
    await visit('/', { viewport: { width: 360, height: 740 }, colorScheme: 'dark' });
    await subscribed('demo');
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
    await screenshot('narrow-dark');
  });

  it('works by keyboard alone', async () => {
    await visit();
    await subscribed('demo');
    for (let i = 0; i < 20; ++i) {
      await page.keyboard.press('Tab');
      if (await page.evaluate(() => document.activeElement.dataset.role === 'publish-data')) break;
    }
    const before = await offset('demo');
    await page.keyboard.type('typed');
    await page.keyboard.press('Enter');
    await card('demo').locator(`tr[data-offset="${before + 1}"]`).waitFor();
    assert.equal((await data('demo'))[0], '"typed"');
  });

  it('never made the browser complain', () => {
    assert.deepEqual(complaints, []);
  });
});
