// SPDX-License-Identifier: Apache-2.0
//
// The server ends, politely or not, and comes back behind the same address.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Proxy } from './fixture/proxy.mjs';
import { range, RawClient } from './fixture/raw_client.mjs';
import { connected, sdkClient, Watched } from './fixture/sdk_client.mjs';
import { freshChannel, Server } from './fixture/server.mjs';
import { Inbox } from './fixture/wait.mjs';

describe('restart', { concurrency: false }, () => {
  // Publishes until it is stopped; what fails while the server is away is not counted.
  const load = (server, channel) => {
    const state = { running: true, published: 0 };
    state.done = (async () => {
      while (state.running) {
        try {
          await server.result('publish', { channel, data: { n: state.published + 1 } });
          state.published += 1;
        } catch {
          return;
        }
      }
    })();
    return state;
  };

  it('SIGTERM under load: every client is told 3001 and the server ends with status 0', async () => {
    const server = await Server.start({ config: 'load' });
    const channel = freshChannel();
    const clients = await Promise.all(range(1, 20).map(() => RawClient.connect(server)));
    for (const client of clients) await client.ask('subscribe', { channel });
    const publishing = load(server, channel);
    await clients[0].waitPublications(channel, 50);
    await server.stop();
    publishing.running = false;
    await publishing.done;
    for (const client of clients) {
      await client.closedWith(3001);
      const offsets = client.publications(channel).map((publication) => publication.offset);
      assert.deepEqual(offsets, range(1, offsets.length), 'no gap until the end');
    }
  });

  it('SIGTERM with nobody connected ends at once', async () => {
    await (await Server.start({ config: 'load' })).stop();
  });

  it('SIGTERM ends although a client has stalled', async () => {
    const server = await Server.start({ config: 'load' });
    const channel = freshChannel();
    const client = await RawClient.connect(server);
    await client.ask('subscribe', { channel });
    client.socket.pause();
    const data = 'x'.repeat(50000);
    for (let i = 0; i < 300; ++i) await server.result('publish', { channel, data });
    await server.stop();
    client.end();
  });

  // Clients of the SDK on one channel through a relay, with the codes of their `connecting` events.
  const crowd = async (proxy, channel) => Promise.all(range(1, 5).map(async () => {
    const client = sdkClient(proxy);
    const codes = new Inbox();
    client.on('connecting', ({ code }) => codes.put(code));
    await connected(client);
    const watched = new Watched(client, channel);
    await watched.ready();
    return { client, codes, watched };
  }));

  const comesBack = async (end, expectedCode) => {
    const first = await Server.start({ config: 'load' });
    const proxy = await Proxy.start(first);
    const channel = freshChannel();
    const members = await crowd(proxy, channel);
    await first.publishNumbers(channel, 1, 10);
    for (const { watched } of members) await watched.offsets(10);
    await end(first);
    const second = await Server.start({ config: 'load' });
    proxy.target = second;
    for (const { codes, watched } of members) {
      if (expectedCode) await codes.find((code) => code === expectedCode, `code ${expectedCode}`);
      const context = await watched.subscribed(2, 20000);
      assert.deepEqual([context.wasRecovering, context.recovered], [true, false], 'a new epoch is told');
    }
    await second.publishNumbers(channel, 1, 5);
    for (const { client, watched } of members) {
      assert.deepEqual(await watched.offsets(15), [...range(1, 10), ...range(1, 5)]);
      client.disconnect();
    }
    proxy.stop();
    await second.stop();
  };

  it('after SIGTERM the SDK hears 3001, returns to the new server and is told of the new epoch', async () => {
    await comesBack((server) => server.stop(), 3001);
  });

  it('after kill -9 the SDK returns to the new server and is told of the new epoch', async () => {
    await comesBack((server) => server.kill());
  });
});
