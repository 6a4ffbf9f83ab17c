// SPDX-License-Identifier: Apache-2.0
//
// What the configuration changes on the wire: intervals, limits, insecure mode, unknown keys.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { RawClient } from './fixture/raw_client.mjs';
import { freshChannel, Server } from './fixture/server.mjs';
import { now, token } from './fixture/token.mjs';

describe('short intervals and small limits', { concurrency: false }, () => {
  let server;
  const clients = [];
  const connect = async (options, body = {}) => {
    const client = await RawClient.connect(server, body, options);
    clients.push(client);
    return client;
  };
  before(async () => { server = await Server.start({ config: 'intervals' }); });
  after(async () => {
    for (const client of clients) client.end();
    await server.stop();
  });
  const isPing = (message) => Object.keys(message).length === 0;

  it('the connect result tells the ping interval', async () => {
    const client = await connect();
    assert.deepEqual([client.connected.ping, client.connected.pong], [1, true]);
  });

  it('pings come as {} and a client that answers stays', async () => {
    const client = await connect();
    await client.messages.count(3, isPing, 'pings');
    assert.ok(client.frames.filter((frame) => frame === '{}').length >= 1, 'a ping is {} and nothing else');
    assert.ok(await client.ask('unsubscribe', { channel: freshChannel() }));
  });

  it('a client that does not answer is closed with 3012', async () => {
    const client = await connect({ pong: false });
    await client.closedWith(3012);
  });

  it('a second pong for one ping closes with 3501', async () => {
    const client = await connect({ pong: false });
    await client.messages.find(isPing, 'ping');
    client.socket.send('{}\n{}');
    await client.closedWith(3501);
  });

  it('a connection that does not authenticate in time is closed with 3502', async () => {
    const client = await RawClient.open(server);
    await client.closedWith(3502);
  });

  it('a connection whose token expires and is not refreshed is closed with 3005', async () => {
    const client = await connect({}, { token: token({ sub: 'ann', exp: now() + 1 }) });
    assert.equal(client.connected.expires, true);
    assert.ok(client.connected.ttl <= 1);
    await client.closedWith(3005);
  });

  it('a connection that refreshes its token stays', async () => {
    const client = await connect({}, { token: token({ sub: 'ann', exp: now() + 1 }) });
    const result = await client.ask('refresh', { token: token({ sub: 'ann', exp: now() + 600 }) });
    assert.equal(result.expires, true);
    assert.ok(result.ttl > 500 && result.ttl <= 600);
    await client.messages.count(4, isPing, 'pings beyond the first expiry');
    assert.ok(await client.ask('unsubscribe', { channel: 'x' }));
  });

  it('a subscription whose token expires and is not refreshed ends with 2501', async () => {
    const client = await connect();
    const channel = `$${freshChannel()}`;
    const result = await client.ask('subscribe', { channel, token: token({ channel, exp: now() + 1 }) });
    assert.equal(result.expires, true);
    const { push } = await client.messages.find((message) => message.push?.unsubscribe, 'unsubscribe push');
    assert.deepEqual([push.channel, push.unsubscribe.code], [channel, 2501]);
  });

  it('one channel above channel_limit is error 106', async () => {
    const client = await connect();
    for (let i = 0; i < 3; ++i) await client.ask('subscribe', { channel: freshChannel() });
    assert.equal(await client.refused('subscribe', { channel: freshChannel() }), 106);
  });

  it('a message above message_size_limit closes with 1009', async () => {
    const client = await connect();
    client.socket.send(JSON.stringify({ id: 7, publish: { channel: 'a', data: 'x'.repeat(5000) } }));
    assert.equal((await client.close()).code, 1009);
  });

  it('a channel without history has no position, and history is error 108', async () => {
    const client = await connect();
    const channel = freshChannel();
    assert.deepEqual(await client.ask('subscribe', { channel }), {});
    assert.equal(await client.refused('history', { channel }), 108);
    await client.ask('publish', { channel, data: 1 });
    const [publication] = await client.waitPublications(channel, 1);
    assert.equal('offset' in publication, false);
  });

  it('without an API key configured the API answers 401', async () => {
    const response = await fetch(`${server.url}/api/info`, { method: 'POST', headers: { 'X-API-Key': '' }, body: '{}' });
    assert.equal(response.status, 401);
  });
});

describe('insecure mode with keys of tomorrow', { concurrency: false }, () => {
  let server;
  before(async () => {
    server = await Server.start({
      config: 'insecure',
      env: { CENTRIFUGO_NO_SUCH_OPTION: '1', TRUNKLINE_NO_SUCH_OPTION: '1' },
    });
  });
  after(() => server.stop());

  it('unknown keys and variables do not stop the start', async () => {
    assert.equal((await fetch(`${server.url}/health`)).status, 200);
  });

  it('unknown keys are named in a warning', () => {
    assert.match(server.stderr, /an_option_of_tomorrow/);
  });

  it('subscribe, publish, presence and history need no permission', async () => {
    const client = await RawClient.connect(server);
    const channel = freshChannel('room');
    await client.ask('subscribe', { channel });
    await client.ask('publish', { channel, data: 1 });
    assert.equal((await client.ask('history', { channel, limit: 10 })).publications.length, 1);
    client.end();
  });

  it('a private channel still needs a token', async () => {
    const client = await RawClient.connect(server);
    assert.equal(await client.refused('subscribe', { channel: `$${freshChannel()}` }), 103);
    client.end();
  });

  it('a listed Origin passes and another one does not', async () => {
    const client = await RawClient.connect(server, {}, { origin: 'http://allowed.example' });
    assert.ok(client.connected.client);
    client.end();
    await assert.rejects(RawClient.open(server, { origin: 'http://other.example' }), /status 403/);
  });
});

describe('without credentials', () => {
  it('a connect without token, anonymous or insecure option closes with 3501', async () => {
    const server = await Server.start({ config: 'strict' });
    const client = await RawClient.open(server);
    client.send({ id: 1, connect: {} });
    await client.closedWith(3501);
    const known = await RawClient.connect(server, { token: token({ sub: 'ann' }) });
    assert.ok(known.connected.client);
    known.end();
    await server.stop();
  });
});
