// SPDX-License-Identifier: Apache-2.0
//
// The client protocol on the wire: what an implementer gets wrong first, a test each.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { RawClient, numbers, offsets, range } from './fixture/raw_client.mjs';
import { freshChannel, Server } from './fixture/server.mjs';
import { now, token } from './fixture/token.mjs';
import { until } from './fixture/wait.mjs';

describe('protocol', { concurrency: false }, () => {
  let server;
  const clients = [];
  const connect = async (body, options) => {
    const client = await RawClient.connect(server, body, options);
    clients.push(client);
    return client;
  };
  const open = async (options) => {
    const client = await RawClient.open(server, options);
    clients.push(client);
    return client;
  };
  before(async () => { server = await Server.start({ config: 'main' }); });
  after(async () => {
    for (const client of clients) client.end();
    await server.stop();
  });

  describe('connect', () => {
    it('answers with client id, version, ping 25 and pong', async () => {
      const client = await connect();
      assert.match(client.connected.client, /^[0-9a-f]{8}-[0-9a-f-]{27}$/);
      assert.ok(client.connected.version.length > 0);
      assert.equal(client.connected.ping, 25);
      assert.equal(client.connected.pong, true);
      for (const name of ['session', 'node', 'expires', 'ttl', 'time']) {
        assert.equal(name in client.connected, false, `${name} is left out`);
      }
    });

    it('must be the first command: another one first closes with 3501', async () => {
      const client = await open();
      client.send({ id: 1, subscribe: { channel: freshChannel() } });
      await client.closedWith(3501);
    });

    it('twice closes with 3501', async () => {
      const client = await connect();
      client.send({ id: 9, connect: {} });
      await client.closedWith(3501);
    });

    it('with an invalid token closes with 3500', async () => {
      const client = await open();
      client.send({ id: 1, connect: { token: token({ sub: 'ann' }, 'another secret') } });
      await client.closedWith(3500);
    });

    it('refused by an error (109) accepts nothing else', async () => {
      const client = await open();
      assert.equal(await client.refused('connect', { token: token({ sub: 'ann', exp: now() - 60 }) }), 109);
      client.send({ id: 2, subscribe: { channel: freshChannel() } });
      await client.closedWith(3501);
    });

    it('ignores unknown fields and query parameters', async () => {
      const client = await connect({ dict: { x: 1 }, tomorrow: [1] }, { query: '?tomorrow=1&x' });
      assert.ok(client.connected.client);
    });

    it('selects the subprotocol centrifuge-json when it is offered, and none otherwise', async () => {
      const offered = await open({ subprotocols: ['centrifuge-json'] });
      assert.equal(offered.socket.protocol, 'centrifuge-json');
      assert.equal((await open()).socket.protocol, '');
    });

    it('without an Origin header passes when no origin is listed', async () => {
      assert.ok((await connect()).connected.client);
    });

    it('from a foreign Origin is refused with 403 when no origin is listed', async () => {
      await assert.rejects(RawClient.open(server, { origin: 'http://elsewhere.example' }), /status 403/);
    });
  });

  describe('replies', () => {
    it('hold a result object even when it is empty', async () => {
      const client = await connect();
      const channel = freshChannel();
      const plain = freshChannel('plain');
      await client.ask('subscribe', { channel });
      assert.deepEqual(await client.ask('publish', { channel, data: {} }), {});
      assert.deepEqual(await client.ask('unsubscribe', { channel }), {});
      assert.deepEqual(await client.ask('subscribe', { channel: plain }), {});
    });

    it('always carry the zero fields of history and presence', async () => {
      const client = await connect();
      const channel = freshChannel();
      const history = await client.ask('history', { channel });
      assert.deepEqual(history.publications, []);
      assert.equal(history.offset, 0);
      assert.ok(history.epoch.length > 0);
      assert.deepEqual(await client.ask('presence', { channel }), { presence: {} });
      assert.deepEqual(await client.ask('presence_stats', { channel }), { num_clients: 0, num_users: 0 });
    });

    it('write user and client of a publisher, also an anonymous one', async () => {
      const client = await connect();
      const channel = freshChannel();
      await client.ask('subscribe', { channel });
      await client.ask('publish', { channel, data: 1 });
      const [publication] = await client.waitPublications(channel, 1);
      assert.deepEqual(publication.info, { user: '', client: client.connected.client });
    });

    it('come in the order of the commands of one frame', async () => {
      const client = await open();
      const channel = freshChannel();
      client.send({ id: 1, connect: {} }, { id: 2, subscribe: { channel } }, { id: 3, history: { channel } },
        { id: 4, unsubscribe: { channel } });
      await client.reply(4);
      assert.deepEqual(client.messages.items.map((message) => message.id), [1, 2, 3, 4]);
    });

    it('take a frame with one trailing newline', async () => {
      const client = await open();
      client.socket.send('{"id":1,"connect":{}}\n');
      assert.ok((await client.reply(1)).connect);
    });

    it('never come as an empty frame or line', async () => {
      const client = await connect();
      const channel = freshChannel();
      await client.ask('subscribe', { channel });
      await Promise.all(range(1, 50).map((n) => server.result('publish', { channel, data: { n } })));
      await client.waitPublications(channel, 50);
      for (const frame of client.frames) assert.ok(frame.replace(/\n$/, '').split('\n').every((line) => line !== ''), JSON.stringify(frame));
    });

    it('keep a payload as it was: unicode, escapes, large numbers, null', async () => {
      const client = await connect();
      const channel = freshChannel();
      await client.ask('subscribe', { channel });
      const payloads = ['{"text":"Grüße \\u00e9 \\" \\\\ \\n"}', '12345678901234567890', '-0.0e-7', '"\u2028🚂"', 'null', '[]', 'false'];
      for (const [i, data] of payloads.entries()) client.socket.send(`{"id":${100 + i},"publish":{"channel":"${channel}","data":${data}}}`);
      await client.waitPublications(channel, payloads.length);
      const seen = client.frames.join('\n').split('\n').filter((line) => line.includes('"pub"'));
      for (const [i, data] of payloads.entries()) assert.ok(seen[i].includes(`"data":${data}`), `${seen[i]} holds ${data}`);
    });

    it('strip raw newlines between the tokens of a payload', async () => {
      const client = await connect();
      const channel = freshChannel();
      await client.ask('subscribe', { channel });
      const response = await fetch(`${server.url}/api/publish`, {
        method: 'POST', headers: { 'X-API-Key': 'test-api-key' },
        body: `{"channel":"${channel}","data":{\n"a":\r\n1\n}}`,
      });
      assert.ok((await response.json()).result);
      assert.deepEqual((await client.waitPublications(channel, 1))[0].data, { a: 1 });
    });
  });

  describe('bad commands', () => {
    const closes = (name, text, code = 3501) => it(`${name} closes with ${code}`, async () => {
      const client = await connect();
      client.socket.send(text);
      await client.closedWith(code);
    });
    closes('an empty frame', '');
    closes('text that is not JSON', 'hello');
    closes('an array', '[]');
    closes('a command without a body', '{"id":7}');
    closes('an unknown command', '{"id":7,"dance":{}}');
    closes('the ping command type', '{"id":7,"ping":{}}');
    closes('a pong that nobody asked for', '{}');
    closes('a subscribe without a channel', '{"id":7,"subscribe":{}}');
    closes('an empty line between commands', '{"id":7,"presence":{"channel":"a"}}\n\n{"id":8,"presence":{"channel":"a"}}');
    closes('send, which nobody handles,', '{"send":{"data":1}}', 3508);
  });

  describe('subscribe', () => {
    it('answers with position and flags; the offset of an empty stream is left out or 0', async () => {
      const client = await connect();
      const result = await client.ask('subscribe', { channel: freshChannel() });
      assert.equal(result.recoverable, true);
      assert.equal(result.positioned, true);
      assert.ok(result.epoch.length > 0 && result.epoch !== '_');
      assert.equal(result.offset ?? 0, 0);
      assert.equal('was_recovering' in result, false);
      assert.equal('recovered' in result, false);
    });

    it('twice is error 105 and leaves the subscription in place', async () => {
      const client = await connect();
      const channel = freshChannel();
      await client.ask('subscribe', { channel });
      assert.equal(await client.refused('subscribe', { channel }), 105);
      await server.publishNumbers(channel, 1, 1);
      assert.deepEqual(offsets(await client.waitPublications(channel, 1)), [1]);
    });

    it('to an unknown namespace is error 102', async () => {
      assert.equal(await (await connect()).refused('subscribe', { channel: 'nowhere:x' }), 102);
    });

    it('without permission is error 103', async () => {
      assert.equal(await (await connect()).refused('subscribe', { channel: 'closed:x' }), 103);
    });

    it('to a channel of more than 255 characters is error 107', async () => {
      assert.equal(await (await connect()).refused('subscribe', { channel: 'x'.repeat(256) }), 107);
    });

    it('to a private channel needs a token', async () => {
      const client = await connect();
      const channel = `$${freshChannel()}`;
      assert.equal(await client.refused('subscribe', { channel }), 103);
      assert.ok(await client.ask('subscribe', { channel, token: token({ channel, iat: now() }) }));
    });

    it('with a token of another channel closes with 3500', async () => {
      const client = await connect();
      client.send({ id: 7, subscribe: { channel: '$one', token: token({ channel: '$two' }) } });
      await client.closedWith(3500);
    });

    it('with an expired token is error 109', async () => {
      const client = await connect();
      assert.equal(await client.refused('subscribe', { channel: '$a', token: token({ channel: '$a', exp: now() - 60 }) }), 109);
    });

    it('to the 129th channel is error 106', async () => {
      const client = await connect();
      const channels = range(1, 128).map(() => freshChannel());
      await Promise.all(channels.map((channel) => client.ask('subscribe', { channel })));
      assert.equal(await client.refused('subscribe', { channel: freshChannel() }), 106);
    });

    it('gets epoch with the first publication of a stream only', async () => {
      const client = await connect();
      const channel = freshChannel();
      const { epoch } = await client.ask('subscribe', { channel });
      await server.publishNumbers(channel, 1, 2);
      const [first, second] = await client.waitPublications(channel, 2);
      assert.deepEqual([first.offset, first.epoch], [1, epoch]);
      assert.deepEqual([second.offset, second.epoch], [2, undefined]);
    });
  });

  describe('recovery', () => {
    // A channel with `count` publications and its epoch.
    const filled = async (count, namespace) => {
      const channel = freshChannel(namespace);
      await server.publishNumbers(channel, 1, count);
      const { epoch } = await server.result('history', { channel });
      return { channel, epoch };
    };

    it('that succeeds answers with the requested offset and the missed publications', async () => {
      const { channel, epoch } = await filled(5);
      const result = await (await connect()).ask('subscribe', { channel, recover: true, epoch, offset: 2 });
      assert.equal(result.was_recovering, true);
      assert.equal(result.recovered, true);
      assert.equal(result.offset, 2);
      assert.deepEqual(offsets(result.publications), [3, 4, 5]);
      assert.deepEqual(numbers(result.publications), [3, 4, 5]);
    });

    it('with nothing missed succeeds without publications', async () => {
      const { channel, epoch } = await filled(3);
      const result = await (await connect()).ask('subscribe', { channel, recover: true, epoch, offset: 3 });
      assert.deepEqual([result.recovered, result.offset, result.publications ?? []], [true, 3, []]);
    });

    it('of a trimmed position is not recovered and answers with the top', async () => {
      const { channel, epoch } = await filled(5, 'small');
      const result = await (await connect()).ask('subscribe', { channel, recover: true, epoch, offset: 1 });
      assert.equal(result.was_recovering, true);
      assert.equal(result.recovered ?? false, false);
      assert.equal(result.offset, 5);
      assert.deepEqual(result.publications ?? [], []);
    });

    it('at the edge of a trimmed log is recovered', async () => {
      const { channel, epoch } = await filled(5, 'small');
      const result = await (await connect()).ask('subscribe', { channel, recover: true, epoch, offset: 3 });
      assert.equal(result.recovered, true);
      assert.deepEqual(offsets(result.publications), [4, 5]);
    });

    it('of more than 300 publications goes on live behind the reply, each once', async () => {
      const { channel, epoch } = await filled(500);
      const client = await connect();
      const { recovered, offset, publications } = await client.ask('subscribe', { channel, recover: true, epoch, offset: 20 });
      assert.deepEqual([recovered, offset, publications.length], [true, 20, 300]);
      const rest = await client.waitPublications(channel, 180);
      assert.deepEqual(offsets([...publications, ...rest]), range(21, 500));
    });

    it('beyond the top is not recovered', async () => {
      const { channel, epoch } = await filled(3);
      const result = await (await connect()).ask('subscribe', { channel, recover: true, epoch, offset: 9 });
      assert.deepEqual([result.recovered ?? false, result.offset], [false, 3]);
    });

    it('from another epoch is not recovered', async () => {
      const { channel } = await filled(3);
      const result = await (await connect()).ask('subscribe', { channel, recover: true, epoch: 'other', offset: 3 });
      assert.deepEqual([result.was_recovering, result.recovered ?? false, result.offset], [true, false, 3]);
    });

    it('from the sentinel epoch never matches, not even an empty stream', async () => {
      const result = await (await connect()).ask('subscribe', { channel: freshChannel(), recover: true, epoch: '_', offset: 0 });
      assert.deepEqual([result.was_recovering, result.recovered ?? false], [true, false]);
    });

    it('without epoch and offset begins at the beginning', async () => {
      const { channel } = await filled(3);
      const result = await (await connect()).ask('subscribe', { channel, recover: true });
      assert.equal(result.recovered, true);
      assert.deepEqual(offsets(result.publications), [1, 2, 3]);
    });

    it('that fails with flag 2 is error 112, with flag 1 it is not', async () => {
      const { channel, epoch } = await filled(5, 'small');
      const client = await connect();
      assert.equal(await client.refused('subscribe', { channel, recover: true, epoch, offset: 1, flag: 3 }), 112);
      const result = await client.ask('subscribe', { channel, recover: true, epoch, offset: 1, flag: 1 });
      assert.equal(result.recovered ?? false, false);
      assert.equal(result.id ?? 0, 0);
    });

    it('delivers what is published at the seam once, in the reply or live', async () => {
      const { channel, epoch } = await filled(20);
      const publishing = server.publishNumbers(channel, 21, 200);
      const seen = await Promise.all(range(1, 20).map(async () => {
        const client = await connect();
        const { publications = [] } = await client.ask('subscribe', { channel, recover: true, epoch, offset: 5 });
        await client.messages.find((message) => message.push?.pub?.offset === 220 || publications.at(-1)?.offset === 220, 'the last publication');
        return [...offsets(publications), ...offsets(client.publications(channel))];
      }));
      await publishing;
      for (const list of seen) assert.deepEqual(list, range(6, 220));
    });
  });

  describe('history', () => {
    it('gives the position only when no limit is named', async () => {
      const client = await connect();
      const channel = freshChannel();
      await server.publishNumbers(channel, 1, 3);
      const result = await client.ask('history', { channel });
      assert.deepEqual([result.publications, result.offset], [[], 3]);
    });

    it('without a history in the namespace is error 108', async () => {
      assert.equal(await (await connect()).refused('history', { channel: 'plain:x', limit: 1 }), 108);
    });

    it('since another epoch is error 112', async () => {
      const client = await connect();
      const channel = freshChannel();
      await server.publishNumbers(channel, 1, 3);
      assert.equal(await client.refused('history', { channel, limit: 1, since: { offset: 1, epoch: 'other' } }), 112);
    });

    it('reverse from offset 0 is error 107', async () => {
      const client = await connect();
      const channel = freshChannel();
      await server.publishNumbers(channel, 1, 1);
      const { epoch } = await client.ask('history', { channel });
      assert.equal(await client.refused('history', { channel, limit: 1, reverse: true, since: { offset: 0, epoch } }), 107);
    });

    it('loses its data after the TTL but keeps its position', async () => {
      const channel = freshChannel('brief');
      await server.publishNumbers(channel, 1, 3);
      const before = await server.result('history', { channel, limit: -1 });
      assert.deepEqual(offsets(before.publications), [1, 2, 3]);
      const emptied = await until(async () => {
        const result = await server.result('history', { channel, limit: -1 });
        return result.publications.length === 0 && result;
      }, 'the publications expire');
      assert.deepEqual([emptied.offset, emptied.epoch], [3, before.epoch]);
    });

    it('begins a new epoch after the meta TTL', async () => {
      const channel = freshChannel('brief');
      await server.publishNumbers(channel, 1, 3);
      const { epoch } = await server.result('history', { channel });
      const next = await until(async () => { // asks rarely: a question may prolong the stream's life
        const result = await server.result('history', { channel });
        return result.epoch !== epoch && result;
      }, 'a new epoch', 20000, 3500);
      assert.equal(next.offset, 0);
    });
  });

  describe('other commands', () => {
    it('rpc without a handler is error 108', async () => {
      assert.equal(await (await connect()).refused('rpc', { method: 'add', data: 1 }), 108);
    });

    it('presence without presence in the namespace is error 108', async () => {
      const client = await connect();
      assert.equal(await client.refused('presence', { channel: 'plain:x' }), 108);
      assert.equal(await client.refused('presence_stats', { channel: 'plain:x' }), 108);
    });

    it('publish without permission is error 103', async () => {
      assert.equal(await (await connect()).refused('publish', { channel: 'lobby:x', data: 1 }), 103);
    });

    it('unsubscribe from a channel that is not subscribed succeeds', async () => {
      assert.deepEqual(await (await connect()).ask('unsubscribe', { channel: freshChannel() }), {});
    });

    it('puts nothing of a channel on the wire after the unsubscribe reply', async () => {
      const client = await connect();
      const channel = freshChannel();
      const marker = freshChannel();
      await client.ask('subscribe', { channel });
      await client.ask('subscribe', { channel: marker });
      const publishing = server.publishNumbers(channel, 1, 100);
      await client.waitPublications(channel, 20);
      const { id } = await client.command('unsubscribe', { channel });
      await publishing;
      await server.publishNumbers(marker, 1, 1);
      await client.waitPublications(marker, 1);
      const reply = client.messages.items.findIndex((message) => message.id === id);
      const late = client.messages.items.slice(reply).filter((message) => message.push?.channel === channel);
      assert.deepEqual(late, []);
    });

    it('join and leave reach the others of the channel', async () => {
      const channel = freshChannel('lobby');
      const first = await connect();
      const second = await connect({ token: token({ sub: 'bea' }) });
      await first.ask('subscribe', { channel });
      await second.ask('subscribe', { channel });
      const { push } = await first.messages.find((message) => message.push?.join?.info.user === 'bea', 'join');
      assert.deepEqual(push, { channel, join: { info: { user: 'bea', client: second.connected.client } } });
      second.end();
      await first.messages.find((message) => message.push?.leave?.info.client === second.connected.client, 'leave');
    });
  });
});
