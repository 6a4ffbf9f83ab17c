// SPDX-License-Identifier: Apache-2.0
//
// A backend over HTTP decides about clients of the official JavaScript SDK; docs/proxy.md says the
// same in words.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import WebSocket from 'ws';
import { Backend } from './fixture/backend.mjs';
import { connected, sdkClient, Watched } from './fixture/sdk_client.mjs';
import { freshChannel, Server } from './fixture/server.mjs';
import { now } from './fixture/token.mjs';
import { event, Inbox, until, within } from './fixture/wait.mjs';

const KINDS = {
  CLIENT_PROXY_CONNECT: 'connect',
  CLIENT_PROXY_REFRESH: 'refresh',
  CHANNEL_PROXY_SUBSCRIBE: 'subscribe',
  CHANNEL_PROXY_PUBLISH: 'publish',
  CHANNEL_PROXY_SUB_REFRESH: 'sub_refresh',
  RPC_PROXY: 'rpc',
};

// What the backend answers unless a test says otherwise.
const defaults = () => ({
  connect: (body) => ({ result: { user: body.data?.user ?? 'ann', meta: { from: 'connect' } } }),
  refresh: () => ({ result: { expire_at: now() + 3600 } }),
  subscribe: () => ({ result: {} }),
  publish: () => ({ result: {} }),
  sub_refresh: () => ({ result: { expire_at: now() + 3600 } }),
  rpc: (body) => ({ result: { data: { method: body.method, echo: body.data } } }),
  frail: () => ({ result: { data: 'alive' } }),
});

describe('backends over HTTP', { concurrency: false }, () => {
  let server;
  let backend;
  let frail; // a second backend, which comes and goes
  const clients = [];
  const make = (options) => {
    const client = sdkClient(server, options);
    clients.push(client);
    return client;
  };
  const connect = (options) => connected(make(options));
  const answer = (answers) => Object.assign(backend.answers, defaults(), answers);
  const lastAsked = (kind) => backend.asked.items.filter((one) => one.kind === kind).at(-1);
  const rejected = (promise) => within(promise.then(
    (value) => assert.fail(`not refused: ${JSON.stringify(value)}`), (error) => error), 'a refusal');

  before(async () => {
    backend = await Backend.start(defaults());
    frail = await Backend.start(defaults());
    const env = Object.fromEntries(Object.entries(KINDS).map(
      ([section, kind]) => [`TRUNKLINE_${section}_ENDPOINT`, backend.url(kind)]));
    env.TRUNKLINE_PROXIES = JSON.stringify([{ name: 'frail', endpoint: frail.url('frail'), timeout: '5s' }]);
    server = await Server.start({ config: 'proxy', env });
  });
  after(async () => {
    for (const client of clients) client.disconnect();
    await server.stop();
    await backend.stop();
    await frail.stop();
  });

  it('lets a client in, with data, channels and what its handshake said', async () => {
    const channel = freshChannel('news');
    answer({
      connect: () => ({
        result: { user: 'bob', data: { hello: 'bob' }, channels: [channel], info: { name: 'Bob' } },
      }),
    });
    const headers = { Cookie: 'session=1', 'X-Real-Ip': '192.0.2.1', 'X-Other': 'no' };
    class Socket extends WebSocket {
      constructor(url, protocols) { super(url, protocols, { headers }); }
    }
    const client = make({ websocket: Socket, data: { key: 1 }, name: 'test', version: '7' });
    const publications = new Inbox();
    client.on('publication', (context) => publications.put(context));
    const context = event(client, 'connected');
    client.connect();
    assert.deepEqual((await context).data, { hello: 'bob' });
    await server.result('publish', { channel, data: { n: 1 } });
    assert.deepEqual((await publications.find(() => true, 'a publication')).data, { n: 1 });
    const { body, headers: seen } = lastAsked('connect');
    assert.match(body.client, /^[0-9a-f-]{36}$/);
    assert.deepEqual({ ...body, client: '' }, {
      client: '', transport: 'websocket', protocol: 'json', encoding: 'json',
      name: 'test', version: '7', data: { key: 1 },
    });
    assert.equal(seen['content-type'], 'application/json');
    assert.equal(seen.cookie, 'session=1');
    assert.equal(seen['x-real-ip'], '192.0.2.1');
    assert.equal(seen['x-other'], undefined);
    assert.equal(seen['x-static'], 'fixed');
    assert.equal(seen.authorization, 'nobody');
  });

  it('passes on what the connect command says in place of headers, and no line ends in it', async () => {
    answer({});
    await connect({ headers: { Authorization: 'Bearer 1', Cookie: 'forged' } });
    assert.equal(lastAsked('connect').headers.authorization, 'Bearer 1');
    assert.equal(lastAsked('connect').headers.cookie, undefined);
    await connect({ headers: { Authorization: 'a\r\nX-Evil: 1' } });
    assert.equal(lastAsked('connect').headers.authorization, undefined);
    assert.equal(lastAsked('connect').headers['x-evil'], undefined);
  });

  it('keeps a client out by a disconnect, an error, or a status', async () => {
    answer({ connect: () => ({ disconnect: { code: 4501, reason: 'unauthorized' } }) });
    const first = make();
    const ended = event(first, 'disconnected');
    first.connect();
    assert.deepEqual(await ended, { code: 4501, reason: 'unauthorized' });

    answer({ connect: () => ({ error: { code: 1001, message: 'no' } }) });
    const second = make();
    const refused = event(second, 'disconnected');
    second.connect();
    assert.equal((await refused).code, 1001);

    answer({ connect: () => ({ status: 403, text: 'no' }) });
    const third = make();
    const forbidden = event(third, 'disconnected');
    third.connect();
    assert.deepEqual(await forbidden, { code: 4503, reason: 'not you' });
  });

  it('a client comes back until a backend that fails lets it in', async () => {
    let failures = 2;
    answer({
      connect: () => (failures-- > 0 ? { status: 500, text: 'oops' } : { result: { user: 'ann' } }),
    });
    const client = make();
    const errors = new Inbox();
    client.on('error', (context) => errors.put(context.error.code));
    client.connect();
    await client.ready(10000);
    assert.deepEqual(errors.items, [100, 100]);
  });

  it('asks nobody about a client with a token that it can not verify', async () => {
    answer({});
    const client = make({ token: 'x.y.z' });
    const ended = event(client, 'disconnected');
    const before = backend.asked.items.length;
    client.connect();
    assert.equal((await ended).code, 3500);
    assert.equal(backend.asked.items.length, before);
  });

  it('says who may subscribe, and with what', async () => {
    const channel = freshChannel();
    answer({
      subscribe: (body) => (body.channel.endsWith('closed')
        ? { error: { code: 403, message: 'permission denied' } } : { result: { data: [7], info: { role: 'r' } } }),
    });
    const client = await connect({ data: { user: 'cid' } });
    const open = new Watched(client, channel, { data: { why: 1 } });
    assert.deepEqual((await open.subscribed()).data, [7]);
    const { body } = lastAsked('subscribe');
    assert.deepEqual({ ...body, client: '' }, {
      client: '', transport: 'websocket', protocol: 'json', encoding: 'json', user: 'cid', channel, data: { why: 1 },
    });
    const closed = new Watched(client, `${channel}closed`);
    const state = await closed.states.find((one) => one.name === 'unsubscribed', 'unsubscribed');
    assert.equal(state.code, 403);
  });

  it('says what may be published, changes it, and leaves it out of the history', async () => {
    const channel = freshChannel();
    const edits = {
      1: { result: {} },
      2: { result: { data: { n: 'two' }, tags: { edited: 'yes' } } },
      3: { result: { skip_history: true } },
      4: { error: { code: 1003, message: 'rude' } },
    };
    answer({ publish: (body) => edits[body.data.n] });
    const client = await connect();
    const watched = new Watched(client, channel);
    await watched.subscribed();
    for (const n of [1, 2, 3]) await client.publish(channel, { n });
    assert.equal((await rejected(client.publish(channel, { n: 4 }))).code, 1003);
    const seen = await watched.publications.count(3, () => true, 'publications');
    assert.deepEqual(seen.map((one) => one.data.n), [1, 'two', 3]);
    assert.deepEqual(seen[1].tags, { edited: 'yes' });
    const { publications } = await server.result('history', { channel, limit: 10 });
    assert.deepEqual(publications.map((one) => one.data.n), [1, 'two']);
  });

  it('answers calls side by side, with what was attached at connect', async () => {
    let release;
    const gate = new Promise((resolve) => { release = resolve; });
    answer({
      rpc: async (body) => {
        if (body.method === 'slow') await gate;
        return { result: { data: body } };
      },
    });
    const client = await connect();
    const slow = client.rpc('slow', {});
    const fast = (await client.rpc('fast', { a: [1.50, 'ü'] })).data;
    assert.deepEqual(fast.data, { a: [1.50, 'ü'] });
    assert.deepEqual(fast.meta, { from: 'connect' });
    assert.equal(fast.user, 'ann');
    release();
    assert.equal((await slow).data.method, 'slow');
    assert.equal((await rejected(client.rpc('none:x', {}))).code, 104);
    assert.equal((await rejected(client.rpc('off:x', {}))).code, 108);
  });

  it('a call may be refused, or end the connection', async () => {
    answer({
      rpc: (body) => (body.method === 'end'
        ? { disconnect: { code: 4500, reason: 'enough' } } : { error: { code: 1004, message: 'not today', temporary: true } }),
    });
    const client = await connect();
    const error = await rejected(client.rpc('a', {}));
    assert.deepEqual([error.code, error.message, error.temporary], [1004, 'not today', true]);
    const ended = event(client, 'disconnected');
    client.rpc('end', {}).catch(() => {});
    assert.deepEqual(await ended, { code: 4500, reason: 'enough' });
  });

  it('nothing is granted by an answer that can not be', async () => {
    const client = await connect();
    for (const text of ['', 'null', '[]', '{', '{}x', '{"result":[]}', '{"error":{}}', '{"disconnect":{"code":1}}',
      '{"result":{"b64data":"!"}}', `{"result":${'['.repeat(5000)}}`, 'x'.repeat(2_000_000)]) {
      answer({ rpc: () => ({ text }) });
      assert.equal((await rejected(client.rpc('a', {}))).code, 100, `to ${text.slice(0, 40)}`);
    }
    for (const text of ['{}', '{"result":null}', '{"result":{"info":1,"expire_at":"soon"}}']) {
      answer({ subscribe: () => ({ text }), publish: () => ({ text }) });
      const watched = new Watched(client, freshChannel());
      const error = await event(watched.sub, 'error');
      assert.equal(error.error.code, 100);
      watched.sub.unsubscribe();
    }
    answer({});
    assert.deepEqual((await client.rpc('a', 1)).data, { method: 'a', echo: 1 }, 'the client itself is well');
  });

  it('is asked when a connection expires, and ends it', async () => {
    answer({ connect: () => ({ result: { user: 'ann', expire_at: now() + 1, meta: { k: 1 } } }) });
    const goesOn = await connect();
    await backend.asked.find((one) => one.kind === 'refresh', 'a refresh');
    assert.deepEqual(lastAsked('refresh').body.meta, { k: 1 });
    assert.equal((await goesOn.rpc('a', 1)).data.echo, 1);

    answer({
      connect: () => ({ result: { user: 'ann', expire_at: now() + 1 } }),
      refresh: () => ({ result: { expired: true } }),
    });
    const client = make();
    const ended = new Inbox();
    client.on('connecting', (context) => ended.put(context.code));
    client.connect();
    await client.ready();
    assert.equal(await ended.find((code) => code === 3005, 'connection expired'), 3005);
    client.disconnect();
  });

  it('is asked when a subscription expires, and ends it', async () => {
    const channel = freshChannel();
    answer({
      subscribe: () => ({ result: { expire_at: now() + 1 } }),
      sub_refresh: (body) => ({ result: body.channel.endsWith('stays') ? { expire_at: now() + 3600 } : { expired: true } }),
    });
    const client = await connect();
    const stays = new Watched(client, `${channel}stays`);
    const ends = new Watched(client, `${channel}ends`);
    await ends.states.find((one) => one.name === 'subscribing' && one.code === 2501, 'subscription expired');
    ends.sub.unsubscribe();
    await backend.asked.find(
      (one) => one.kind === 'sub_refresh' && one.body.channel.endsWith('stays'), 'a sub refresh');
    await client.rpc('a', 1);
    assert.equal(stays.sub.state, 'subscribed');
  });

  it('a client that goes away ends its questions', async () => {
    answer({ rpc: () => new Promise(() => {}) });
    const client = await connect();
    client.rpc('never', {}).catch(() => {});
    await backend.asked.find((one) => one.body.method === 'never', 'the question');
    client.disconnect();
    await backend.aborted.find((kind) => kind === 'rpc', 'the end of the question');
    const cancelled = '{kind="rpc",outcome="cancelled"}';
    await until(async () => await server.metric('trunkline_proxy_requests_total', cancelled) === 1, 'count');
  });

  it('connections to the backend are kept', async () => {
    answer({});
    const client = await connect();
    await client.rpc('a', 0);
    const before = backend.connections;
    for (let n = 0; n < 50; ++n) await client.rpc('a', n);
    assert.equal(backend.connections, before);
  });

  it('a dead backend is left alone, harms no other one, and is found again', async () => {
    answer({});
    const client = await connect();
    const open = `{endpoint="${frail.url('frail')}",backend="6"}`;
    assert.equal((await client.rpc('frail:a', {})).data, 'alive');
    const { port } = frail;
    await frail.stop();
    for (let n = 0; n < 3; ++n) assert.equal((await rejected(client.rpc('frail:a', {}))).code, 100);
    assert.equal(await server.metric('trunkline_proxy_breakers_open', open), 1);
    assert.match(server.stderr, /backend http:\S+\/frail is left alone for a while/);
    assert.deepEqual((await client.rpc('a', 1)).data.echo, 1, 'another backend');
    frail = await Backend.start(defaults(), port);
    await until(async () => (await client.rpc('frail:a', {}).catch(() => ({}))).data === 'alive', 'an answer');
    assert.equal(await server.metric('trunkline_proxy_breakers_open', open), 0);
    assert.match(server.stderr, /backend http:\S+\/frail answers again/);
  });

  it('a stop ends what is on its way', async () => {
    answer({ rpc: () => new Promise(() => {}), connect: () => new Promise(() => {}) });
    const env = Object.fromEntries(Object.entries(KINDS).map(
      ([section, kind]) => [`TRUNKLINE_${section}_ENDPOINT`, backend.url(kind)]));
    env.TRUNKLINE_PROXIES = JSON.stringify([{ name: 'frail', endpoint: frail.url('frail') }]);
    env.TRUNKLINE_CLIENT_PROXY_CONNECT_TIMEOUT = '60s';
    const other = await Server.start({ config: 'proxy', env });
    const client = sdkClient(other);
    const before = backend.asked.items.filter((one) => one.kind === 'connect').length;
    client.connect();
    await backend.asked.count(before + 1, (one) => one.kind === 'connect', 'the question');
    await other.stop();
    client.disconnect();
  });
});
