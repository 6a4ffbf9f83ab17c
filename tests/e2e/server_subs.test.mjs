// SPDX-License-Identifier: Apache-2.0
//
// Server-side subscriptions with the official JavaScript SDK, unmodified: at connect, at any time by
// the HTTP API, and over broken connections.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Proxy } from './fixture/proxy.mjs';
import { range, RawClient } from './fixture/raw_client.mjs';
import { connected, sdkClient } from './fixture/sdk_client.mjs';
import { freshChannel, Server } from './fixture/server.mjs';
import { now, token } from './fixture/token.mjs';
import { event, Inbox } from './fixture/wait.mjs';

let lastUser = 0;
const freshUser = () => `user${process.pid}-${++lastUser}`;

// A client's server-side subscriptions: all their events, {name, channel, …}, in their order.
class ServerSide {
  constructor(client) {
    this.events = new Inbox();
    for (const name of ['subscribed', 'subscribing', 'unsubscribed', 'publication', 'join', 'leave']) {
      client.on(name, (context) => this.events.put({ ...context, name }));
    }
  }

  async nth(n, name, channel) {
    const wanted = (one) => one.name === name && one.channel === channel;
    return (await this.events.count(n, wanted, `${name} of ${channel}`))[n - 1];
  }

  async offsets(channel, count) {
    await this.nth(count, 'publication', channel);
    return this.events.items.filter((one) => one.name === 'publication' && one.channel === channel)
      .map((one) => one.offset);
  }
}

describe('server-side subscriptions', { concurrency: false }, () => {
  let server;
  const clients = [];
  const proxies = [];
  const make = (options, to = server) => {
    const client = sdkClient(to, options);
    clients.push(client);
    return { client, seen: new ServerSide(client) };
  };
  const connect = async (options, to) => {
    const made = make(options, to);
    await connected(made.client);
    return made;
  };
  const proxied = async () => {
    const proxy = await Proxy.start(server);
    proxies.push(proxy);
    return proxy;
  };
  const lose = async (proxy, client, meanwhile) => {
    const lost = event(client, 'connecting');
    proxy.cut();
    await lost;
    await meanwhile();
    proxy.mend();
  };
  before(async () => {
    server = await Server.start({
      config: 'main',
      env: {
        TRUNKLINE_CLIENT_SUBSCRIBE_TO_USER_PERSONAL_CHANNEL_ENABLED: 'true',
        TRUNKLINE_CLIENT_SUBSCRIBE_TO_USER_PERSONAL_CHANNEL_PERSONAL_CHANNEL_NAMESPACE: 'lobby',
        TRUNKLINE_TRUNKLINE_SHARDS: '3',
      },
    });
  });
  after(async () => {
    for (const client of clients) client.disconnect();
    for (const proxy of proxies) proxy.stop();
    await server.stop();
  });

  it('begins with the channels of the token and the user\'s own', async () => {
    const [sub, named, optioned] = [freshUser(), freshChannel(), freshChannel('plain')];
    const { seen } = await connect({ token: token({ sub, channels: [named], subs: { [optioned]: { data: { x: 1 } } } }) });
    const positioned = await seen.nth(1, 'subscribed', named);
    assert.deepEqual([positioned.positioned, positioned.recoverable, positioned.wasRecovering], [true, true, false]);
    assert.deepEqual((await seen.nth(1, 'subscribed', optioned)).data, { x: 1 });
    await seen.nth(1, 'subscribed', `lobby:#${sub}`);
    await server.publishNumbers(named, 1, 3);
    assert.deepEqual(await seen.offsets(named, 3), [1, 2, 3]);
    await server.result('publish', { channel: optioned, data: 'unlogged' });
    assert.equal((await seen.nth(1, 'publication', optioned)).data, 'unlogged');
  });

  it('is present in its channel and hears its own join', async () => {
    const sub = freshUser();
    const { client, seen } = await connect({ token: token({ sub }) });
    const channel = `lobby:#${sub}`;
    assert.equal((await seen.nth(1, 'join', channel)).info.user, sub);
    const { presence } = await server.result('presence', { channel });
    assert.equal(Object.keys(presence).length, 1);
    const guest = await connect({ token: token({ sub: freshUser(), channels: [channel] }) });
    await seen.nth(2, 'join', channel);
    guest.client.disconnect();
    await seen.nth(1, 'leave', channel);
    assert.equal(client.state, 'connected');
  });

  it('recovers what it missed over a reset of the connection, once and in order', async () => {
    const channel = freshChannel();
    const proxy = await proxied();
    const { client, seen } = await connect({ token: token({ sub: freshUser(), channels: [channel] }) }, proxy);
    await server.publishNumbers(channel, 1, 3);
    await seen.offsets(channel, 3);
    await lose(proxy, client, () => server.publishNumbers(channel, 4, 20));
    const again = await seen.nth(2, 'subscribed', channel);
    assert.deepEqual([again.wasRecovering, again.recovered], [true, true]);
    await server.publishNumbers(channel, 24, 2);
    assert.deepEqual(await seen.offsets(channel, 25), range(1, 25));
  });

  it('is told when the history was too small, and goes on', async () => {
    const channel = freshChannel('small');
    const proxy = await proxied();
    const { client, seen } = await connect({ token: token({ sub: freshUser(), channels: [channel] }) }, proxy);
    await server.publishNumbers(channel, 1, 1);
    await seen.offsets(channel, 1);
    await lose(proxy, client, () => server.publishNumbers(channel, 2, 5));
    const again = await seen.nth(2, 'subscribed', channel);
    assert.deepEqual([again.wasRecovering, again.recovered], [true, false]);
    await server.publishNumbers(channel, 7, 1);
    assert.deepEqual(await seen.offsets(channel, 2), [1, 7]);
  });

  it('loses nothing to a publisher that never stops while connections begin and break', async () => {
    const channels = range(1, 6).map(() => freshChannel());
    const proxy = await proxied();
    const { client, seen } = make({ token: token({ sub: freshUser(), channels }) }, proxy);
    let [stop, last] = [false, 0];
    // One publication in each channel first, so that the positions are known at connect.
    for (const channel of channels) await server.publishNumbers(channel, 1, 1);
    const publisher = (async () => {
      for (last = 1; !stop; ) {
        last += 1;
        await Promise.all(channels.map((channel) => server.publishNumbers(channel, last, 1)));
      }
    })();
    await connected(client);
    for (let round = 1; round <= 5; ++round) {
      for (const channel of channels) await seen.nth(round, 'subscribed', channel);
      await seen.nth(round * 10, 'publication', channels[0]);
      await lose(proxy, client, async () => {});
    }
    for (const channel of channels) await seen.nth(6, 'subscribed', channel);
    stop = true;
    await publisher;
    for (const channel of channels) {
      const first = (await seen.nth(1, 'publication', channel)).offset;
      assert.deepEqual(await seen.offsets(channel, last - first + 1), range(first, last), channel);
    }
  });

  it('the API begins and ends them for all of a user\'s connections', async () => {
    const [user, channel] = [freshUser(), freshChannel()];
    const all = [];
    for (let i = 0; i < 5; ++i) all.push(await connect({ token: token({ sub: user }) }));
    const other = await connect({ token: token({ sub: freshUser() }) });
    const { epoch } = await server.result('publish', { channel, data: 0 });
    assert.deepEqual(await server.result('subscribe', { user, channel, data: { hello: 1 } }), {});
    for (const { seen } of all) {
      const context = await seen.nth(1, 'subscribed', channel);
      assert.deepEqual([context.data, context.streamPosition], [{ hello: 1 }, { offset: 1, epoch }]);
    }
    await server.publishNumbers(channel, 2, 3);
    for (const { seen } of all) assert.deepEqual(await seen.offsets(channel, 3), [2, 3, 4]);
    assert.deepEqual(await server.result('unsubscribe', { user, channel }), {});
    for (const { seen } of all) await seen.nth(1, 'unsubscribed', channel);
    assert.equal(other.seen.events.items.some((one) => one.channel === channel), false);
  });

  it('the API begins one for one client, behind a position, with info and an end', async () => {
    const [user, channel] = [freshUser(), freshChannel('lobby')];
    const chosen = await RawClient.connect(server, { token: token({ sub: user }) });
    const passed = await RawClient.connect(server, { token: token({ sub: user }) });
    await server.result('subscribe', { user, client: chosen.connected.client, channel, b64info: 'eyJhIjoxfQ==', expire_at: now() + 600 });
    const { push } = await chosen.messages.find((message) => message.push?.channel === channel && message.push.join, 'join');
    assert.deepEqual(push.join.info.chan_info, { a: 1 });
    const log = freshChannel();
    const { epoch } = await server.result('publish', { channel: log, data: { n: 1 } });
    await server.publishNumbers(log, 2, 2);
    await server.result('subscribe', { user, client: chosen.connected.client, channel: log, recover_since: { epoch, offset: 1 } });
    const begun = await chosen.messages.find((message) => message.push?.channel === log && message.push.subscribe, 'subscribe');
    assert.deepEqual(begun.push.subscribe, { recoverable: true, epoch, offset: 1, positioned: true });
    assert.deepEqual((await chosen.waitPublications(log, 2)).map(({ offset }) => offset), [2, 3]);
    assert.equal(passed.messages.items.some((message) => message.push?.channel === log), false);
    for (const client of [chosen, passed]) client.end();
  });

  it('the API says what it does not take', async () => {
    const [user, channel] = [freshUser(), freshChannel()];
    for (const [body, code] of [
      [{ channel }, 107],
      [{ user }, 107],
      [{ user, channel, session: 's' }, 107],
      [{ user, channel, override: { presence: { value: true } } }, 107],
      [{ user, channel, expire_at: -1 }, 107],
      [{ user, channel, expire_at: 'soon' }, 107],
      [{ user, channel, b64data: 'bm8gSlNPTg==' }, 107],
      [{ user, channel, recover_since: { offset: -1 } }, 107],
      [{ user, channel: 'nowhere:a' }, 102],
    ]) {
      assert.equal((await server.api('subscribe', body)).error?.code, code, JSON.stringify(body));
    }
  });

  it('one that the API began is not there after a reconnect, and the SDK learns it', async () => {
    const [user, channel] = [freshUser(), freshChannel()];
    const proxy = await proxied();
    const { client, seen } = await connect({ token: token({ sub: user }) }, proxy);
    await server.result('subscribe', { user, channel });
    await seen.nth(1, 'subscribed', channel);
    await lose(proxy, client, async () => {});
    await seen.nth(1, 'unsubscribed', channel);
    assert.equal(client.state, 'connected');
  });

  it('a client-side subscription to the same channel is refused with 105', async () => {
    const channel = freshChannel();
    const { client, seen } = await connect({ token: token({ sub: freshUser(), channels: [channel] }) });
    await seen.nth(1, 'subscribed', channel);
    const sub = client.newSubscription(channel);
    const refused = event(sub, 'unsubscribed');
    sub.subscribe();
    assert.equal((await refused).code, 105);
  });

  it('a token with a channel that can not be is refused', async () => {
    const { client } = make({ token: token({ sub: freshUser(), channels: ['nowhere:a'] }) });
    const end = event(client, 'disconnected');
    client.connect();
    assert.equal((await end).code, 102);
  });
});
