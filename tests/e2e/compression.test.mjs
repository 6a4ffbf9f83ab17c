// SPDX-License-Identifier: Apache-2.0
//
// permessage-deflate: what clients that ask for it get, beside others that do not.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { offsets, range, RawClient } from './fixture/raw_client.mjs';
import { freshChannel, Server } from './fixture/server.mjs';

const DEFLATE = { perMessageDeflate: true };
const text = (n) => ({ n, words: `the quick brown fox ${n} `.repeat(40) });

describe('compression', { concurrency: false }, () => {
  let server;
  before(async () => { server = await Server.start({ config: 'compression' }); });
  after(() => server.stop());

  const received = (client) => client.socket._socket.bytesRead;

  it('the same publications reach those who compress and those who do not, in fewer bytes', async () => {
    const channel = freshChannel();
    const clients = [];
    for (const options of [DEFLATE, { perMessageDeflate: { serverNoContextTakeover: true } }, {}]) {
      clients.push(await RawClient.connect(server, {}, options));
      await clients.at(-1).ask('subscribe', { channel });
    }
    const [first, second, plain] = clients;
    assert.match(first.socket.extensions, /permessage-deflate/);
    assert.equal(plain.socket.extensions, '');
    const begin = clients.map(received);
    for (let n = 1; n <= 50; ++n) await plain.ask('publish', { channel, data: text(n) });
    for (const client of clients) {
      const publications = await client.waitPublications(channel, 50);
      assert.deepEqual(offsets(publications), range(1, 50));
      assert.deepEqual(publications.map(({ data }) => data), range(1, 50).map(text));
    }
    const [a, b, c] = clients.map((client, i) => received(client) - begin[i]);
    assert.ok(a < c / 4 && b < c / 4, `${a} and ${b} of ${c} bytes`);
    for (const client of clients) client.end();
  });

  it('commands may be compressed, and large replies are', async () => {
    const channel = freshChannel();
    const client = await RawClient.connect(server, {}, { perMessageDeflate: { threshold: 0 } });
    for (let n = 1; n <= 100; ++n) await client.ask('publish', { channel, data: text(n) });
    const begin = received(client);
    const history = await client.ask('history', { channel, limit: 100 });
    assert.deepEqual(history.publications.map(({ data }) => data), range(1, 100).map(text));
    assert.ok(received(client) - begin < JSON.stringify(history).length / 4);
    client.end();
  });

  it('a stalled client that compresses catches up without a gap', async () => {
    const channel = freshChannel();
    const client = await RawClient.connect(server, {}, DEFLATE);
    await client.ask('subscribe', { channel });
    client.socket.pause();
    // Hardly compressible, so that the sockets' buffers are full.
    const noise = () => Array.from({ length: 5000 }, () => Math.random().toString(36).slice(2)).join('');
    for (let n = 1; n <= 400; ++n) await server.result('publish', { channel, data: { n, noise: noise() } });
    client.socket.resume();
    const publications = await client.waitPublications(channel, 400, 60000);
    assert.deepEqual(offsets(publications), range(1, 400));
    assert.deepEqual(publications.map(({ data }) => data.n), range(1, 400));
    client.end();
  });

  it('one who comes later recovers the plain ones and goes on with compressed ones', async () => {
    const channel = freshChannel();
    const first = await RawClient.connect(server, {}, DEFLATE);
    const { epoch } = await first.ask('subscribe', { channel });
    for (let n = 1; n <= 20; ++n) await first.ask('publish', { channel, data: text(n) });
    const late = await RawClient.connect(server, {}, DEFLATE);
    const reply = await late.ask('subscribe', { channel, recover: true, epoch, offset: 5 });
    assert.deepEqual(offsets(reply.publications), range(6, 20));
    for (let n = 21; n <= 30; ++n) await first.ask('publish', { channel, data: text(n) });
    assert.deepEqual(offsets(await late.waitPublications(channel, 10)), range(21, 30));
    for (const client of [first, late]) client.end();
  });

  it('a bomb is stopped by the message limit (1009)', async () => {
    const client = await RawClient.connect(server, {}, { perMessageDeflate: { threshold: 0 } });
    client.socket.send(`{"id":5,"rpc":{"data":"${'0'.repeat(30_000_000)}"}}`);
    assert.equal((await client.closed).code, 1009);
  });
});
