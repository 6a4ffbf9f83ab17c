// SPDX-License-Identifier: Apache-2.0
//
// Jobs, by the example `rescan`: with the official JavaScript SDK, unmodified, and by its page in a
// real browser.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Browser } from './fixture/browser.mjs';
import { Proxy } from './fixture/proxy.mjs';
import { range } from './fixture/raw_client.mjs';
import { connected, sdkClient, Watched } from './fixture/sdk_client.mjs';
import { Server } from './fixture/server.mjs';
import { event, Inbox, until } from './fixture/wait.mjs';

const RECORDS = 1_000_000;
const SLOW = RECORDS / 4; // records a second: some seconds of rescan
const ENDLESS = RECORDS / 100;
const LONG_MS = 60000;

let lastUser = 0;
const freshUser = () => `user${process.pid}-${++lastUser}`;
const isEnd = (data) => data.progress === undefined;

// A client that watches the blocks, and the jobs that the server subscribes it to.
class Visitor {
  static async connect(to, user) {
    const visitor = new Visitor();
    visitor.client = sdkClient(to, { data: { user } });
    visitor.events = new Inbox(); // {name: 'publication' | 'subscribed' | …, channel, …}, blocks too
    for (const name of ['publication', 'subscribed', 'subscribing', 'unsubscribed']) {
      visitor.client.on(name, (context) => visitor.events.put({ ...context, name }));
    }
    visitor.blocks = new Watched(visitor.client, 'blocks');
    visitor.blocks.sub.on('publication', (context) => visitor.events.put({ ...context, name: 'publication' }));
    await connected(visitor.client);
    await visitor.blocks.ready();
    return visitor;
  }

  async rpc(method, data = {}) {
    return (await this.client.rpc(method, data)).data;
  }

  // {job, channel}
  begin(data) {
    return this.rpc('rescan', { account: 7, ...data });
  }

  // The first message of the job that satisfies `wanted`.
  async told(channel, wanted, what) {
    const is = (one) => one.name === 'publication' && one.channel === channel && (wanted(one.data) || isEnd(one.data));
    const { data } = await this.events.find(is, what, LONG_MS);
    assert.ok(wanted(data), `before ${what}: ${JSON.stringify(data)}`);
    return data;
  }

  end(channel) {
    return this.told(channel, isEnd, `end of ${channel}`);
  }

  publications(channel) {
    return this.events.items.filter((one) => one.name === 'publication' && one.channel === channel);
  }

  // So many blocks more than now.
  moreBlocks(count) {
    return this.blocks.offsets(this.blocks.publications.items.length + count, LONG_MS);
  }

  checkBlocks() {
    const blocks = this.blocks.publications.items;
    const heights = blocks.map(({ data }) => data.height);
    assert.deepEqual(heights, range(heights[0], heights.at(-1)), 'heights');
    blocks.slice(1).forEach(({ data }, i) => assert.equal(data.previous, blocks[i].data.hash, `chain at ${data.height}`));
  }

  // Every message once and in order, progress forwards, and one end as the last of them.
  static check(publications) {
    assert.deepEqual(publications.map(({ offset }) => offset), range(1, publications.length));
    assert.equal(publications.findIndex(({ data }) => isEnd(data)), publications.length - 1, 'one end, the last of all');
    const heights = publications.slice(0, -1).map(({ data }) => data.progress.height);
    assert.ok(heights.length > 0);
    heights.slice(1).forEach((height, i) => assert.ok(height > heights[i], `${height} after ${heights[i]}`));
  }
}

describe('rescan', { concurrency: false }, () => {
  let server;
  const visitors = [];
  const proxies = [];
  const visit = async (user = freshUser(), to = server) => {
    visitors.push(await Visitor.connect(to, user));
    return visitors.at(-1);
  };
  before(async () => {
    server = await Server.start({ program: 'rescan', args: ['--records', String(RECORDS)] });
  });
  after(async () => {
    for (const { client } of visitors) client.disconnect();
    for (const proxy of proxies) proxy.stop();
    await server.stop();
  });

  it('tells progress and one result while blocks go on', async () => {
    const visitor = await visit();
    await visitor.moreBlocks(1);
    const { job, channel } = await visitor.begin({ rate: SLOW });
    assert.equal(channel, `job:${job}`);
    const { result } = await visitor.end(channel);
    assert.ok(result.found > 0 && result.height >= RECORDS / 100, JSON.stringify(result));
    Visitor.check(visitor.publications(channel));
    visitor.checkBlocks();
    // In the order of arrival: between the first progress and the end.
    const came = visitor.events.items.filter(({ name }) => name === 'publication').map((one) => one.channel);
    const during = came.slice(came.indexOf(channel), came.lastIndexOf(channel));
    assert.ok(during.filter((one) => one === 'blocks').length >= 5, during.join(' '));
  });

  it('delays no call', async () => {
    const visitor = await visit();
    const { job, channel } = await visitor.begin({ rate: ENDLESS });
    await visitor.told(channel, ({ progress }) => progress?.height > 0, 'progress');
    for (let i = 0; i < 20; ++i) {
      const { account, balance, height } = await visitor.rpc('balance', { account: 7 });
      assert.ok(account === 7 && Number.isInteger(balance) && height >= RECORDS / 100);
    }
    assert.equal((await visitor.rpc('job.list')).jobs[0].job, job, 'it still runs');
    await visitor.rpc('job.cancel', { job });
    assert.equal((await visitor.end(channel)).error.code, 120);
  });

  it('goes on over a connection that breaks half-way', async () => {
    const proxy = await Proxy.start(server);
    proxies.push(proxy);
    const visitor = await visit(freshUser(), proxy);
    const witness = await visit();
    const { channel } = await visitor.begin({ rate: SLOW });
    const { progress } = await visitor.told(channel, (data) => data.progress?.height * 4 > data.progress?.of, 'a quarter');
    const lost = event(visitor.client, 'connecting');
    proxy.cut();
    await lost;
    const before = visitor.publications(channel).length;
    await witness.moreBlocks(5); // the visitor misses these, and progress
    assert.equal(visitor.publications(channel).length, before);
    proxy.mend();
    const { result } = await visitor.end(channel);
    assert.ok(result.height >= progress.of);
    Visitor.check(visitor.publications(channel));
    assert.ok(visitor.publications(channel).length > before + 1, 'progress went on');
    const resumed = visitor.events.items.filter((one) => one.name === 'subscribed' && one.channel === channel);
    assert.deepEqual(resumed.map((one) => [one.wasRecovering, one.recovered]), [[false, false], [true, true]]);
    await visitor.moreBlocks(1);
    visitor.checkBlocks();
    assert.equal((await visitor.blocks.subscribed(2)).recovered, true);
  });

  it('finds the result after its end, too', async () => {
    const user = freshUser();
    const proxy = await Proxy.start(server);
    proxies.push(proxy);
    const visitor = await visit(user, proxy);
    const device = await visit(user);
    const { channel } = await visitor.begin({ rate: SLOW });
    const followed = new Watched(device.client, channel, { since: { offset: 0, epoch: '' } });
    await visitor.told(channel, ({ progress }) => progress?.height > 0, 'progress');
    const lost = event(visitor.client, 'connecting');
    proxy.cut();
    await lost;
    const { data } = await followed.publications.find((one) => isEnd(one.data), 'the end elsewhere', LONG_MS);
    proxy.mend();
    assert.deepEqual(await visitor.end(channel), data);
    Visitor.check(visitor.publications(channel));
    Visitor.check(followed.publications.items);
  });

  it('is followed and cancelled by another client of the same user', async () => {
    const user = freshUser();
    const [owner, device, stranger] = [await visit(user), await visit(user), await visit()];
    const { job, channel } = await owner.begin({ rate: ENDLESS * 4 });
    await owner.told(channel, ({ progress }) => progress?.height > 100, 'progress');
    assert.deepEqual((await device.rpc('job.list')).jobs.map((one) => [one.job, one.channel, one.method, one.state]),
      [[job, channel, 'rescan', 'running']]);
    assert.deepEqual(await stranger.rpc('job.list'), { jobs: [] });
    await assert.rejects(stranger.rpc('job.cancel', { job }), { code: 108 });
    const spied = stranger.client.newSubscription(channel);
    const refused = event(spied, 'unsubscribed');
    spied.subscribe();
    assert.equal((await refused).code, 103);
    const followed = new Watched(device.client, channel, { since: { offset: 0, epoch: '' } });
    const seen = followed.publications;
    const current = await seen.find(({ data }) => data.progress?.height > 200, 'progress on the other device');
    await device.rpc('job.cancel', { job });
    const end = { error: { code: 120, message: 'cancelled' } };
    assert.deepEqual(await owner.end(channel), end);
    assert.deepEqual((await seen.find(({ data }) => isEnd(data), 'the end')).data, end);
    Visitor.check(owner.publications(channel));
    Visitor.check(seen.items);
    // It has ended for everybody; its handler may take a moment to see it.
    let listed = await owner.rpc('job.list');
    while (listed.jobs.some((one) => one.state === 'stopping')) {
      listed = await owner.rpc('job.list');
    }
    assert.deepEqual(listed, { jobs: [] });
    // Where it was, another one goes on.
    const rest = await owner.begin({ from: current.data.progress.height + 1 });
    assert.ok((await owner.end(rest.channel)).result.height >= current.data.progress.of);
  });

  it('refuses what it can not do in words', async () => {
    const visitor = await visit();
    const { channel } = await visitor.begin({ account: 0 });
    assert.deepEqual(await visitor.end(channel), { error: { code: 107, message: 'accounts are 1 to 1000' } });
    const running = await visitor.begin({ rate: ENDLESS });
    await assert.rejects(visitor.begin({}), { code: 106 });
    await visitor.rpc('job.cancel', { job: running.job });
    assert.equal((await visitor.end(running.channel)).error.code, 120);
    const nobody = sdkClient(server);
    const end = event(nobody, 'disconnected');
    nobody.connect();
    assert.equal((await end).code, 107);
  });

  describe('page', { concurrency: false }, () => {
    let browser;
    let page;
    const data = (id, of = page) => of.locator(id).evaluate((node) => ({ ...node.dataset }));
    const number = async (id, name) => Number((await data(id))[name]);
    const job = (state, of = page) => of.locator(`#job[data-state="${state}"]`).waitFor({ timeout: LONG_MS });
    const checkStreams = async (of = page) => {
      const [blocks, rescan] = [await data('#blocks', of), await data('#job', of)];
      assert.deepEqual([blocks.gaps, blocks.duplicates, blocks.lost, blocks.broken], ['0', '0', '0', '0']);
      assert.deepEqual([rescan.gaps, rescan.duplicates, rescan.lost, rescan.backwards], ['0', '0', '0', '0']);
      return { blocks, rescan };
    };
    before(async () => {
      browser = await Browser.start();
      page = await browser.open(server.url);
    });
    after(() => browser?.stop());

    it('shows the blocks as they come', async () => {
      await page.locator('#connection-state[data-state="connected"]').waitFor();
      await until(async () => await number('#blocks', 'received') >= 3, 'blocks');
    });

    it('goes on over a dropped connection while a rescan runs', async () => {
      await page.locator('#rate').selectOption('200000');
      await page.locator('#start').click();
      await job('running');
      const begun = await number('#blocks', 'received');
      await until(async () => await number('#job', 'height') > 0, 'progress');
      await until(async () => await number('#blocks', 'received') > begun, 'blocks while the rescan runs');
      await page.locator('#drop').click();
      await page.locator('#connection-state[data-state="away"]').waitFor();
      const away = await number('#job', 'received');
      await page.locator('#connection-state[data-state="connected"]').waitFor({ timeout: LONG_MS });
      await job('done');
      const { blocks, rescan } = await checkStreams();
      assert.ok(Number(blocks.recovered) > 0, 'blocks were recovered');
      assert.ok(Number(rescan.recovered) > 0 && Number(rescan.received) > away, 'so was progress');
      assert.match(await page.locator('#job-text').textContent(), /^found [\d,]+ transactions up to block/);
      await browser.screenshot(page, 'rescan');
    });

    it('cancels, and goes on from there in another tab', async () => {
      await page.locator('#rate').selectOption('50000');
      await page.locator('#start').click();
      await job('running');
      const tab = await browser.open(server.url);
      await job('running', tab);
      await tab.locator('#cancel').click();
      await job('cancelled', tab);
      await job('cancelled');
      assert.ok(Number(await page.locator('#from').inputValue()) > 1);
      await page.locator('#rate').selectOption('0');
      await page.locator('#start').click();
      await job('done');
      await checkStreams();
      await checkStreams(tab);
    });

    it('never made the browser complain', () => {
      assert.deepEqual(browser.complaints, []);
    });
  });
});
