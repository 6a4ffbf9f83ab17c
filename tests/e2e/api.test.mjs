// SPDX-License-Identifier: Apache-2.0
//
// The HTTP API, health and metrics.
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { numbers, offsets, range, RawClient } from './fixture/raw_client.mjs';
import { freshChannel, Server } from './fixture/server.mjs';
import { token } from './fixture/token.mjs';
import { until } from './fixture/wait.mjs';

describe('HTTP API', { concurrency: false }, () => {
  let server;
  const clients = [];
  const connect = async (user, channel) => {
    const client = await RawClient.connect(server, user ? { token: token({ sub: user }) } : {});
    clients.push(client);
    if (channel) await client.ask('subscribe', { channel });
    return client;
  };
  const post = (path, headers, body) => fetch(`${server.url}${path}`, { method: 'POST', headers, body });
  before(async () => { server = await Server.start({ config: 'main' }); });
  after(async () => {
    for (const client of clients) client.end();
    await server.stop();
  });

  describe('key', () => {
    it('missing is 401', async () => {
      assert.equal((await post('/api/info', {}, '{}')).status, 401);
    });

    it('wrong is 401', async () => {
      assert.equal((await post('/api/info', { 'X-API-Key': 'test-api-kez' }, '{}')).status, 401);
    });

    it('is taken from Authorization as well', async () => {
      assert.equal((await post('/api/info', { Authorization: 'apikey test-api-key' }, '{}')).status, 200);
    });
  });

  describe('publish', () => {
    it('delivers and answers with the position', async () => {
      const channel = freshChannel();
      const client = await connect('', channel);
      const first = await server.result('publish', { channel, data: { n: 1 } });
      const second = await server.result('publish', { channel, data: { n: 2 } });
      assert.deepEqual([first.offset, second.offset, first.epoch], [1, 2, second.epoch]);
      const seen = await client.waitPublications(channel, 2);
      assert.deepEqual([offsets(seen), numbers(seen)], [[1, 2], [1, 2]]);
      assert.equal('info' in seen[0], false);
    });

    it('without data is error 107 inside status 200', async () => {
      assert.equal((await server.api('publish', { channel: freshChannel() })).error.code, 107);
    });

    it('without a channel is error 107', async () => {
      assert.equal((await server.api('publish', { data: 1 })).error.code, 107);
    });

    it('to an unknown namespace is error 102', async () => {
      assert.equal((await server.api('publish', { channel: 'nowhere:x', data: 1 })).error.code, 102);
    });

    it('with data null, false or 0 is a publication', async () => {
      const channel = freshChannel();
      const client = await connect('', channel);
      for (const data of [null, false, 0]) await server.result('publish', { channel, data });
      assert.deepEqual((await client.waitPublications(channel, 3)).map((publication) => publication.data), [null, false, 0]);
    });

    it('with skip_history is delivered without an offset', async () => {
      const channel = freshChannel();
      const client = await connect('', channel);
      await server.result('publish', { channel, data: { n: 1 }, skip_history: true });
      assert.equal((await client.waitPublications(channel, 1))[0].offset ?? 0, 0);
      assert.equal((await server.result('history', { channel })).offset, 0);
    });

    it('once with an idempotency key that is used twice', async () => {
      const channel = freshChannel();
      const first = await server.result('publish', { channel, data: 1, idempotency_key: 'k' });
      const second = await server.result('publish', { channel, data: 2, idempotency_key: 'k' });
      assert.deepEqual(second, first);
      assert.equal((await server.result('history', { channel })).offset, 1);
    });
  });

  it('broadcast publishes to each channel and answers for each', async () => {
    const channels = [freshChannel(), freshChannel(), 'nowhere:x'];
    const client = await connect('', channels[1]);
    const { responses } = await server.result('broadcast', { channels, data: { n: 5 } });
    assert.deepEqual(responses.map((response) => response.result?.offset ?? response.error.code), [1, 1, 102]);
    assert.deepEqual(numbers(await client.waitPublications(channels[1], 1)), [5]);
  });

  it('history gives pages in both directions; history_remove keeps the position', async () => {
    const channel = freshChannel();
    await server.publishNumbers(channel, 1, 10);
    const { epoch, offset, publications } = await server.result('history', { channel });
    assert.deepEqual([offset, publications], [10, []]);
    const page = await server.result('history', { channel, limit: 3, since: { offset: 4, epoch } });
    assert.deepEqual(numbers(page.publications), [5, 6, 7]);
    const back = await server.result('history', { channel, limit: 2, reverse: true });
    assert.deepEqual(offsets(back.publications), [10, 9]);
    assert.deepEqual(await server.result('history_remove', { channel }), {});
    const left = await server.result('history', { channel, limit: -1 });
    assert.deepEqual([left.publications, left.offset, left.epoch], [[], 10, epoch]);
    assert.equal((await server.result('publish', { channel, data: 1 })).offset, 11);
  });

  it('history since another epoch is error 112', async () => {
    const channel = freshChannel();
    await server.publishNumbers(channel, 1, 1);
    assert.equal((await server.api('history', { channel, limit: 1, since: { offset: 1, epoch: 'other' } })).error.code, 112);
  });

  it('history and presence that are off are error 108', async () => {
    for (const method of ['history', 'presence', 'presence_stats']) {
      assert.equal((await server.api(method, { channel: 'plain:x' })).error.code, 108, method);
    }
  });

  it('presence and presence_stats name who is subscribed', async () => {
    const channel = freshChannel();
    const ann = await connect('ann', channel);
    await connect('ann', channel);
    await connect('bea', channel);
    const { presence } = await server.result('presence', { channel });
    assert.deepEqual(presence[ann.connected.client], { user: 'ann', client: ann.connected.client });
    assert.equal(Object.keys(presence).length, 3);
    assert.deepEqual(await server.result('presence_stats', { channel }), { num_clients: 3, num_users: 2 });
  });

  it('channels lists what is subscribed, by pattern', async () => {
    const channel = freshChannel('lobby');
    await connect('', channel);
    await connect('', channel);
    const { channels } = await server.result('channels', { pattern: 'lobby:*' });
    assert.deepEqual(channels[channel], { num_clients: 2 });
    assert.ok(Object.keys(channels).every((name) => name.startsWith('lobby:')));
  });

  it('info describes the node', async () => {
    await connect();
    const { nodes } = await server.result('info');
    assert.equal(nodes.length, 1);
    assert.ok(nodes[0].uid && nodes[0].version);
    assert.ok(nodes[0].num_clients >= 1);
  });

  it('send tells all connections of a user, or one, and nobody else', async () => {
    const client = await connect('uma', freshChannel());
    const other = await connect('ulf', freshChannel());
    assert.deepEqual(await server.result('send', { user: 'uma', data: { n: 1 } }), { clients: 1 });
    const message = (one) => one.push?.message;
    assert.deepEqual((await client.messages.find(message, 'a message')).push.message, { data: { n: 1 } });
    assert.deepEqual(await server.result('send', { user: 'nobody', data: 1 }), { clients: 0 });
    assert.deepEqual(await server.result('send', { user: 'ulf', data: 2 }), { clients: 1 });
    await other.messages.find(message, 'a message');
    assert.deepEqual(other.messages.items.filter(message).map((one) => one.push.message.data), [2]);
  });

  it('unsubscribe takes a user off a channel with code 2000', async () => {
    const channel = freshChannel();
    const client = await connect('una', channel);
    const other = await connect('uta', channel);
    assert.deepEqual(await server.result('unsubscribe', { user: 'una', channel }), {});
    const { push } = await client.messages.find((message) => message.push?.unsubscribe, 'unsubscribe push');
    assert.deepEqual([push.channel, push.unsubscribe.code], [channel, 2000]);
    await server.publishNumbers(channel, 1, 1);
    await other.waitPublications(channel, 1);
    assert.deepEqual(client.publications(channel), []);
  });

  it('disconnect closes every connection of a user with 3503', async () => {
    const first = await connect('dot');
    const second = await connect('dot');
    const other = await connect('dov');
    await server.result('disconnect', { user: 'dot' });
    await first.closedWith(3503);
    await second.closedWith(3503);
    assert.ok(await other.ask('unsubscribe', { channel: 'x' }));
  });

  it('disconnect takes a code, a reason and one client', async () => {
    const first = await connect('don');
    const second = await connect('don');
    await server.result('disconnect', { user: 'don', client: first.connected.client, disconnect: { code: 4501, reason: 'go home' } });
    assert.deepEqual(await first.close(), { code: 4501, reason: 'go home' });
    assert.ok(await second.ask('unsubscribe', { channel: 'x' }));
  });

  it('batch answers each command in order, errors included', async () => {
    const channel = freshChannel();
    const answer = await server.api('batch', {
      commands: [{ publish: { channel, data: { n: 1 } } }, { publish: { channel } }, { history: { channel, limit: 5 } }],
    });
    assert.equal(answer.replies.length, 3);
    assert.equal(answer.replies[0].publish.offset, 1);
    assert.equal(answer.replies[1].error.code, 107);
    assert.deepEqual(numbers(answer.replies[2].history.publications), [1]);
  });

  describe('HTTP', () => {
    it('a body that is not JSON is error 107, and the server goes on', async () => {
      const response = await post('/api/publish', { 'X-API-Key': 'test-api-key' }, '{"channel":');
      assert.equal(response.status, 200);
      assert.equal((await response.json()).error.code, 107);
      assert.ok(await server.result('info'));
    });

    it('an unknown method is error 104', async () => {
      assert.equal((await server.api('dance')).error.code, 104);
    });

    it('a connection serves several requests', async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      const ports = new Set();
      for (const n of range(1, 5)) {
        const status = await new Promise((resolve, reject) => {
          const sent = request(`${server.url}/api/publish`, {
            agent, method: 'POST', headers: { 'X-API-Key': 'test-api-key' },
          }, (response) => {
            ports.add(response.socket.localPort);
            response.resume().on('end', () => resolve(response.statusCode));
          });
          sent.on('error', reject).end(JSON.stringify({ channel: 'keep-alive', data: { n } }));
        });
        assert.equal(status, 200);
      }
      agent.destroy();
      assert.equal(ports.size, 1, 'one connection');
    });

    it('/health answers {}', async () => {
      const response = await fetch(`${server.url}/health`);
      assert.deepEqual([response.status, await response.json()], [200, {}]);
    });

    it('an unknown path is 404', async () => {
      assert.equal((await fetch(`${server.url}/no/such/path`)).status, 404);
    });
  });

  it('/metrics counts connections, subscriptions, publications, deliveries and bytes', async () => {
    const sum = async (name) => {
      const response = await fetch(`${server.url}/metrics`);
      assert.match(response.headers.get('content-type'), /^text\/plain/);
      const lines = (await response.text()).split('\n').filter((line) => line.split(/[ {]/)[0] === `trunkline_${name}`);
      assert.ok(lines.length > 0, `trunkline_${name} is there`);
      return lines.reduce((total, line) => total + Number(line.split(' ').at(-1)), 0);
    };
    const names = ['connections', 'subscriptions', 'publications_total', 'deliveries_total', 'sent_bytes_total', 'channels', 'cursors_behind'];
    const all = async () => Object.fromEntries(await Promise.all(names.map(async (name) => [name, await sum(name)])));
    const before = await all();
    const channel = freshChannel();
    const readers = await Promise.all(range(1, 3).map(() => connect('', channel)));
    await server.publishNumbers(channel, 1, 10);
    for (const reader of readers) await reader.waitPublications(channel, 10);
    await until(async () => {
      const now = await all();
      return now.publications_total - before.publications_total === 10 && now.deliveries_total - before.deliveries_total === 30 &&
        now.sent_bytes_total > before.sent_bytes_total && now.connections >= 3 && now.subscriptions >= 3 && now.channels >= 1;
    }, 'the counters follow');
  });

  it('/metrics tells how connections came to their end', async () => {
    const counts = async () => Object.fromEntries(await Promise.all(['closed', 'lost'].map(async (how) =>
      [how, await server.metric('trunkline_connections_ended_total', `{how="${how}"}`)])));
    const before = await counts();
    const [polite, lost] = await Promise.all([RawClient.connect(server), RawClient.connect(server)]);
    polite.socket.close(1000);
    await polite.closed;
    lost.socket.terminate();
    const refused = await RawClient.open(server);
    refused.socket.send('nonsense');
    assert.equal((await refused.closed).code, 3501);
    await until(async () => {
      const now = await counts();
      return now.closed - before.closed === 2 && now.lost - before.lost === 1;
    }, 'two closed and one lost');
  });
});
