// SPDX-License-Identifier: Apache-2.0
//
// The official JavaScript SDK, unmodified, over `ws`.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Proxy } from './fixture/proxy.mjs';
import { range } from './fixture/raw_client.mjs';
import { connected, disconnected, sdkClient, Watched } from './fixture/sdk_client.mjs';
import { freshChannel, Server } from './fixture/server.mjs';
import { now, token } from './fixture/token.mjs';
import { event, Inbox, until } from './fixture/wait.mjs';

describe('official SDK', { concurrency: false }, () => {
  let server;
  const clients = [];
  const proxies = [];
  const make = (options, to = server) => {
    const client = sdkClient(to, options);
    clients.push(client);
    return client;
  };
  const connect = (options, to) => connected(make(options, to));
  const proxied = async () => {
    const proxy = await Proxy.start(server);
    proxies.push(proxy);
    return proxy;
  };
  before(async () => { server = await Server.start({ config: 'main' }); });
  after(async () => {
    for (const client of clients) client.disconnect();
    for (const proxy of proxies) proxy.stop();
    await server.stop();
  });

  it('connects and disconnects ten times', async () => {
    const client = make();
    for (let i = 0; i < 10; ++i) {
      await connected(client);
      await disconnected(client);
    }
  });

  it('receives its own publication', async () => {
    const client = await connect();
    const watched = new Watched(client, freshChannel());
    await watched.ready();
    await watched.sub.publish({ text: 'hello' });
    const publication = await watched.publications.find(() => true, 'publication');
    assert.deepEqual(publication.data, { text: 'hello' });
    assert.equal(publication.offset, 1);
    assert.equal(publication.info.user, '');
  });

  it('receives what another client publishes', async () => {
    const channel = freshChannel();
    const reader = new Watched(await connect(), channel);
    await reader.ready();
    const writer = await connect();
    for (const n of range(1, 20)) await writer.publish(channel, n);
    assert.deepEqual(await reader.offsets(20), range(1, 20));
    assert.deepEqual(reader.publications.items.map((publication) => publication.data), range(1, 20));
  });

  it('queues commands until it is connected; rpc without a handler is error 108', async () => {
    const client = make();
    const answer = client.rpc('add', {});
    client.connect();
    await assert.rejects(answer, { code: 108 });
  });

  it('reads history page by page', async () => {
    const client = await connect();
    const watched = new Watched(client, freshChannel());
    await watched.ready();
    for (const n of range(1, 25)) await watched.sub.publish(n);
    let since = { offset: 0, epoch: '' };
    const seen = [];
    for (;;) {
      const page = await watched.sub.history({ limit: 10, since });
      assert.equal(page.offset, 25);
      if (page.publications.length === 0) break;
      assert.ok(page.publications.length <= 10);
      seen.push(...page.publications.map((publication) => publication.offset));
      since = { offset: seen.at(-1), epoch: page.epoch };
    }
    assert.deepEqual(seen, range(1, 25));
  });

  it('reads history backwards', async () => {
    const client = await connect();
    const watched = new Watched(client, freshChannel());
    await watched.ready();
    for (const n of range(1, 10)) await watched.sub.publish(n);
    const newest = await watched.sub.history({ limit: 3, reverse: true });
    assert.deepEqual(newest.publications.map((publication) => publication.offset), [10, 9, 8]);
    const earlier = await watched.sub.history({ limit: 3, reverse: true, since: { offset: 8, epoch: newest.epoch } });
    assert.deepEqual(earlier.publications.map((publication) => publication.offset), [7, 6, 5]);
  });

  it('sees presence and its counts, and zeros when all have left', async () => {
    const channel = freshChannel();
    const first = await connect({ token: token({ sub: 'ann' }) });
    const second = await connect({ token: token({ sub: 'ann' }) });
    const observer = await connect();
    const subscriptions = [new Watched(first, channel), new Watched(second, channel)];
    for (const watched of subscriptions) await watched.ready();
    const { clients: members } = await observer.presence(channel);
    assert.deepEqual(Object.values(members).map((info) => info.user), ['ann', 'ann']);
    assert.deepEqual(await observer.presenceStats(channel), { numClients: 2, numUsers: 1 });
    for (const client of [first, second]) await disconnected(client);
    await until(async () => (await observer.presenceStats(channel)).numClients === 0, 'nobody is present');
    assert.deepEqual(await observer.presenceStats(channel), { numClients: 0, numUsers: 0 });
  });

  it('hears who joins and who leaves', async () => {
    const channel = freshChannel('lobby');
    const watched = new Watched(await connect(), channel);
    await watched.ready();
    const guest = await connect({ token: token({ sub: 'bea' }) });
    const visit = new Watched(guest, channel);
    await visit.ready();
    await watched.members.find(({ name, info }) => name === 'join' && info.user === 'bea', 'join');
    visit.sub.unsubscribe();
    await watched.members.find(({ name, info }) => name === 'leave' && info.user === 'bea', 'leave');
  });

  it('subscribes and unsubscribes ten times in a row', async () => {
    const client = await connect();
    const watched = new Watched(client, freshChannel());
    for (let i = 1; i <= 10; ++i) {
      await watched.subscribed(i);
      watched.sub.unsubscribe();
      watched.sub.subscribe();
    }
    await watched.subscribed(11);
    await watched.sub.publish(1);
    assert.deepEqual(await watched.offsets(1), [1]);
  });

  it('takes tokens for the connection and for a private channel', async () => {
    const channel = `$${freshChannel()}`;
    let asked = 0;
    const client = await connect({ getToken: async () => { asked += 1; return token({ sub: 'cid', iat: now() }); } });
    const watched = new Watched(client, channel, { getToken: async () => token({ sub: 'cid', channel, iat: now() }) });
    await watched.ready();
    assert.equal(asked, 1);
    await client.publish(channel, 1);
    assert.equal((await watched.publications.find(() => true, 'publication')).info.user, 'cid');
  });

  it('asks for a new token when the first one has expired', async () => {
    const client = await connect({
      token: token({ sub: 'dan', exp: now() - 60 }),
      getToken: async () => token({ sub: 'dan', exp: now() + 600 }),
    });
    assert.equal(client.state, 'connected');
  });

  it('ends with 3500 when the token is invalid', async () => {
    const client = make({ token: token({ sub: 'eve' }, 'wrong secret') });
    const end = event(client, 'disconnected');
    client.connect();
    assert.equal((await end).code, 3500);
  });

  it('recovers what it missed while it was disconnected, once and in order', async () => {
    const channel = freshChannel();
    const client = await connect();
    const watched = new Watched(client, channel);
    await watched.ready();
    await server.publishNumbers(channel, 1, 3);
    await watched.offsets(3);
    await disconnected(client);
    await server.publishNumbers(channel, 4, 7);
    client.connect();
    const context = await watched.subscribed(2);
    assert.deepEqual([context.wasRecovering, context.recovered, context.hasRecoveredPublications], [true, true, true]);
    await server.publishNumbers(channel, 11, 2);
    assert.deepEqual(await watched.offsets(12), range(1, 12));
  });

  it('recovers what it missed between unsubscribe and subscribe', async () => {
    const channel = freshChannel();
    const watched = new Watched(await connect(), channel);
    await watched.ready();
    await server.publishNumbers(channel, 1, 2);
    await watched.offsets(2);
    watched.sub.unsubscribe();
    await server.publishNumbers(channel, 3, 4);
    watched.sub.subscribe();
    assert.equal((await watched.subscribed(2)).recovered, true);
    assert.deepEqual(await watched.offsets(6), range(1, 6));
  });

  it('recovers across a reset of the TCP connection', async () => {
    const channel = freshChannel();
    const proxy = await proxied();
    const client = await connect({}, proxy);
    const watched = new Watched(client, channel);
    await watched.ready();
    await server.publishNumbers(channel, 1, 3);
    await watched.offsets(3);
    const lost = event(client, 'connecting');
    proxy.cut();
    await lost;
    await server.publishNumbers(channel, 4, 20);
    proxy.mend();
    assert.equal((await watched.subscribed(2)).recovered, true);
    assert.deepEqual(await watched.offsets(23), range(1, 23));
  });

  it('is told when the history was too small to recover', async () => {
    const channel = freshChannel('small');
    const client = await connect();
    const watched = new Watched(client, channel);
    await watched.ready();
    await server.publishNumbers(channel, 1, 1);
    await watched.offsets(1);
    await disconnected(client);
    await server.publishNumbers(channel, 2, 5);
    client.connect();
    const context = await watched.subscribed(2);
    assert.deepEqual([context.wasRecovering, context.recovered], [true, false]);
    await server.publishNumbers(channel, 7, 1);
    assert.deepEqual(await watched.offsets(2), [1, 7]);
  });

  it('loads state and subscribes from its position', async () => {
    const channel = freshChannel();
    const { epoch } = await server.result('publish', { channel, data: { n: 1 } });
    await server.publishNumbers(channel, 2, 4);
    const watched = new Watched(await connect(), channel, { getState: async () => ({ offset: 2, epoch }) });
    assert.equal((await watched.subscribed()).recovered, true);
    assert.deepEqual(await watched.offsets(3), [3, 4, 5]);
  });

  it('loads state again when its position is no longer held (error 112)', async () => {
    const channel = freshChannel('small');
    await server.publishNumbers(channel, 1, 6);
    const { epoch } = await server.result('history', { channel });
    const positions = [1, 4];
    const asked = new Inbox();
    const watched = new Watched(await connect(), channel, {
      getState: async () => {
        asked.put(0);
        return { offset: positions[Math.min(asked.items.length, positions.length) - 1], epoch };
      },
    });
    assert.equal((await watched.subscribed()).recovered, true);
    assert.equal(asked.items.length, 2);
    assert.deepEqual(await watched.offsets(2), [5, 6]);
  });

  it('subscribes to many channels in the frame of its connect', async () => {
    const client = make();
    const all = range(1, 50).map(() => new Watched(client, freshChannel()));
    client.connect();
    await Promise.all(all.map((watched) => watched.ready()));
  });
});
