// SPDX-License-Identifier: Apache-2.0
//
// What the server is for: many subscribers that come and go, or stall, and miss nothing silently.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Proxy } from './fixture/proxy.mjs';
import { offsets, range, RawClient } from './fixture/raw_client.mjs';
import { connected, sdkClient, Watched } from './fixture/sdk_client.mjs';
import { freshChannel, Server } from './fixture/server.mjs';
import { until } from './fixture/wait.mjs';

const PUBLICATIONS = 5000;
const PUBLISHERS = 3;
const SUBSCRIBERS = 20;

// A small generator (mulberry32), so that a failing run can be repeated by its seed.
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Both ways of sending must do the same.
for (const args of [[], ['--no-io-uring']]) describe(`fan-out ${args}`, { concurrency: false }, () => {
  let server;
  before(async () => { server = await Server.start({ config: 'load', args }); });
  after(() => server.stop());

  it(`${SUBSCRIBERS} subscribers that come and go see ${PUBLICATIONS} publications of ${PUBLISHERS} publishers once, in order`, async (t) => {
    const seed = Number(process.env.E2E_SEED ?? Date.now() % 1e6);
    t.diagnostic(`E2E_SEED=${seed}`);
    const random = generator(seed);
    const channel = freshChannel();
    const lines = [];
    for (let i = 0; i < SUBSCRIBERS; ++i) {
      const proxy = await Proxy.start(server);
      const client = await connected(sdkClient(proxy));
      const watched = new Watched(client, channel);
      await watched.ready();
      lines.push({ proxy, client, watched, away: false });
    }
    let changes = 0;
    // One subscriber leaves (politely or by a reset) or comes back; driven by acknowledged publications.
    const disturb = () => {
      const line = lines[Math.floor(random() * lines.length)];
      changes += 1;
      if (line.away) {
        line.proxy.mend();
        line.client.connect();
      } else if (random() < 0.5) {
        line.client.disconnect();
      } else {
        line.proxy.cut();
      }
      line.away = !line.away;
    };
    let next = 0;
    const publishers = await Promise.all(range(1, PUBLISHERS).map(() => connected(sdkClient(server))));
    await Promise.all(publishers.map(async (publisher, by) => {
      while (next < PUBLICATIONS) {
        await publisher.publish(channel, { n: ++next, by });
        if (random() < 0.04) disturb();
      }
    }));
    for (const { proxy, client } of lines) {
      proxy.mend();
      client.connect();
    }
    for (const { watched } of lines) {
      assert.deepEqual(await watched.offsets(PUBLICATIONS, 30000), range(1, PUBLICATIONS));
      const resumed = watched.states.items.filter((state) => state.name === 'subscribed').slice(1);
      assert.ok(resumed.every((state) => state.recovered), 'every return is recovered');
    }
    assert.ok(changes > 50, `only ${changes} changes`);
    for (const { proxy, client } of lines) {
      client.disconnect();
      proxy.stop();
    }
    for (const publisher of publishers) publisher.disconnect();
  });

  // Publishes more than the sockets' and the outbox's buffers hold.
  const flood = async (channel) => {
    const data = { pad: 'x'.repeat(50000) };
    for (let i = 0; i < 400; ++i) await server.result('publish', { channel, data });
  };

  it('a subscriber that stalls catches up from the log without a gap, on the same connection', async () => {
    const channel = freshChannel();
    const client = await RawClient.connect(server);
    await client.ask('subscribe', { channel });
    client.socket.pause();
    await flood(channel);
    client.socket.resume();
    const seen = offsets(await client.waitPublications(channel, 400, 30000));
    assert.deepEqual(seen, range(1, 400));
    client.end();
  });

  it('a subscriber that stalls for longer than the log reaches is told (2500), never skipped', async () => {
    const channel = freshChannel('small');
    const client = await RawClient.connect(server);
    const { epoch } = await client.ask('subscribe', { channel });
    client.socket.pause();
    await flood(channel);
    client.socket.resume();
    const told = await client.messages.find((message) => message.push?.unsubscribe, 'unsubscribe push', 30000);
    assert.deepEqual([told.push.channel, told.push.unsubscribe.code], [channel, 2500]);
    assert.ok(told.push.unsubscribe.reason.length > 0);
    const seen = offsets(client.publications(channel));
    assert.deepEqual(seen, range(1, seen.length));
    const again = await client.ask('subscribe', { channel, recover: true, epoch, offset: seen.length });
    assert.deepEqual([again.was_recovering, again.recovered ?? false, again.offset], [true, false, 400]);
    client.end();
  });

  for (const policy of ['skip', 'latest']) {
    it(`a subscriber that stalls for too long is told its gap and goes on (${policy})`, async () => {
      const channel = freshChannel(policy);
      const client = await RawClient.connect(server);
      await client.ask('subscribe', { channel });
      client.socket.pause();
      await flood(channel);
      client.socket.resume();
      const told = await client.messages.find((message) => message.push?.gap, 'gap push', 30000);
      const { from, to } = told.push.gap;
      await server.result('publish', { channel, data: 'after' });
      await client.messages.find((message) => message.push?.pub?.data === 'after', 'the next one', 30000);
      const seen = offsets(client.publications(channel));
      const gaps = client.messages.items.filter((message) => message.push?.gap).map((message) => message.push.gap);
      const missing = gaps.flatMap((gap) => range(gap.from, gap.to));
      assert.equal(from, seen.filter((offset) => offset < from).length + 1);
      assert.ok(to >= from);
      assert.deepEqual([...seen, ...missing].sort((a, b) => a - b), range(1, 401), 'each came or is in a gap');
      assert.deepEqual(seen, [...seen].sort((a, b) => a - b), 'in order');
      if (policy === 'latest') assert.ok(seen.includes(400), 'the newest of the flood came');
      client.end();
    });
  }

  it('a publisher faster than every subscriber waits, and nobody loses anything', async () => {
    const patient = await Server.start({
      config: 'load', args, env: { TRUNKLINE_TRUNKLINE_PUBLISH_WAIT_MAX: '1h' },
    });
    const channel = freshChannel('small');
    const subscriber = await RawClient.connect(patient);
    await subscriber.ask('subscribe', { channel });
    subscriber.socket.pause();
    const publisher = await RawClient.connect(patient);
    const count = 400; // far more than the sockets and the log hold
    const replies = range(1, count).map((n) => publisher.command('publish', { channel, data: { n, pad: 'x'.repeat(50000) } }));
    await until(async () => await patient.metric('trunkline_publications_delayed_total') > 0, 'an answer waits');
    const answered = publisher.messages.items.filter((message) => message.publish).length;
    assert.ok(answered < count, `${answered} publications were answered already`);
    subscriber.socket.resume();
    for (const reply of await Promise.all(replies)) assert.equal(reply.error, undefined);
    assert.deepEqual(offsets(await subscriber.waitPublications(channel, count, 30000)), range(1, count));
    for (const client of [subscriber, publisher]) client.end();
    await patient.stop();
  });

  it('a stalled subscriber does not hold up another one', async () => {
    const channel = freshChannel();
    const stalled = await RawClient.connect(server);
    const healthy = await RawClient.connect(server);
    for (const client of [stalled, healthy]) await client.ask('subscribe', { channel });
    stalled.socket.pause();
    const stalls = await server.metric('trunkline_stalls_total');
    await flood(channel);
    assert.ok(await server.metric('trunkline_stalls_total') > stalls, 'the stall is counted');
    assert.deepEqual(offsets(await healthy.waitPublications(channel, 400)), range(1, 400));
    for (const client of [stalled, healthy]) client.end();
  });

  // Its commands wait in the server until it reads its replies.
  it('what a paused client publishes when it reads on reaches others at once', async () => {
    const single = await Server.start({ config: 'load', args: [...args, '--shards', '1'] });
    const channel = freshChannel();
    const other = freshChannel();
    const client = await RawClient.connect(single);
    const listener = await RawClient.connect(single);
    await listener.ask('subscribe', { channel: other });
    for (let i = 0; i < 20; ++i) {
      await single.result('publish', { channel, data: { pad: 'x'.repeat(50000) } });
    }
    client.socket.pause();
    for (let i = 0; i < 40; ++i) client.send({ id: 1000 + i, history: { channel, limit: 20 } });
    client.send({ id: 2000, publish: { channel: other, data: 'late' } });
    await new Promise((resolve) => { client.socket._socket.write('', resolve); });
    client.socket.resume();
    await client.reply(2000);
    const [publication] = await listener.waitPublications(other, 1, 8000);
    assert.equal(publication.data, 'late');
    for (const one of [client, listener]) one.end();
    await single.stop();
  });
});
