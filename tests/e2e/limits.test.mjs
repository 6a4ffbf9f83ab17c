// SPDX-License-Identifier: Apache-2.0
//
// What the server refuses, and that those who are connected do not notice. docs/limits.md says the
// same in words.
import assert from 'node:assert/strict';
import { get } from 'node:http';
import { after, before, describe, it } from 'node:test';
import WebSocket from 'ws';
import { offsets, range, RawClient } from './fixture/raw_client.mjs';
import { freshChannel, Server } from './fixture/server.mjs';
import { TcpClient } from './fixture/tcp_client.mjs';
import { token } from './fixture/token.mjs';
import { until, within } from './fixture/wait.mjs';

// A handshake: {socket} when it was answered by an upgrade, else {status, retryAfter, text}.
function knock(server, options = {}) {
  const socket = new WebSocket(server.websocket, { perMessageDeflate: false, ...options });
  socket.on('error', () => {}); // a close follows
  return within(new Promise((resolve, reject) => {
    socket.on('open', () => resolve({ socket }));
    socket.on('close', () => reject(new Error('closed without an answer')));
    socket.on('unexpected-response', (_request, response) => {
      let text = '';
      response.on('data', (part) => { text += part; });
      response.on('end', () => {
        resolve({ status: response.statusCode, retryAfter: Number(response.headers['retry-after']), text });
        socket.terminate();
      });
    });
  }), 'answer to a handshake', 30000);
}

// The status of a page, over a connection of its own.
function status(server, path) {
  return within(new Promise((resolve, reject) => {
    get(server.url + path, { agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).on('error', reject);
  }), `answer to ${path}`);
}

const refusals = (server, reason) => server.metric('trunkline_connections_refused_total', `{reason="${reason}"}`);

// A subscriber that is there before anything happens, and the proof that it missed nothing.
class Witness {
  static async start(server) {
    const witness = new Witness();
    witness.channel = freshChannel();
    witness.client = await RawClient.connect(server);
    await witness.client.ask('subscribe', { channel: witness.channel });
    witness.published = 0;
    return witness;
  }

  // By its own connection: it needs no other that could be refused.
  async publish(count = 1) {
    for (let i = 0; i < count; ++i) await this.client.ask('publish', { channel: this.channel, data: { n: ++this.published } });
  }

  async end() {
    await this.publish();
    assert.deepEqual(offsets(await this.client.waitPublications(this.channel, this.published)), range(1, this.published));
    assert.equal(this.client.socket.readyState, WebSocket.OPEN);
    this.client.end();
  }
}

describe('connections in total', { concurrency: false }, () => {
  let server;
  before(async () => { server = await Server.start({ config: 'main', env: { CENTRIFUGO_CLIENT_CONNECTION_LIMIT: '3' } }); });
  after(() => server.stop());

  it('above the limit are refused with 503, until one leaves; the log does not grow with them', async () => {
    const witness = await Witness.start(server);
    const others = [await RawClient.connect(server), await RawClient.connect(server)];
    for (let i = 1; i <= 20; ++i) {
      const answer = await knock(server);
      assert.equal(answer.status, 503);
      assert.ok(answer.retryAfter >= 5 && answer.retryAfter <= 10, `Retry-After: ${answer.retryAfter}`);
      assert.match(answer.text, /as many connections/);
    }
    assert.equal(await refusals(server, 'connection_limit'), 20);
    assert.equal(server.stderr.match(/client\.connection_limit is reached/g).length, 1, server.stderr);
    others[0].end();
    const { socket } = await until(async () => {
      const answer = await knock(server);
      return answer.socket && answer;
    }, 'a place becomes free');
    socket.terminate();
    others[1].end();
    await witness.end();
  });

  it('leave room for health, metrics and the API', async () => {
    const clients = [];
    await until(async () => {
      const answer = await knock(server);
      if (answer.socket) clients.push(answer.socket);
      return answer.status === 503;
    }, 'the limit is reached');
    assert.equal(await status(server, '/health'), 200);
    assert.equal(await server.metric('trunkline_limit', '{limit="connections"}'), 3);
    assert.ok(await server.result('info'));
    for (const socket of clients) socket.terminate();
  });

  it('far above the limit are answered without being read, health and all', async () => {
    const held = await Promise.all(range(1, 3 + 64).map(() => TcpClient.open(server)));
    assert.equal((await knock(server)).status, 503);
    assert.equal(await status(server, '/health'), 503);
    for (const client of held) client.socket.destroy();
    const { socket } = await until(async () => {
      const answer = await knock(server);
      return answer.socket && answer;
    }, 'places become free');
    socket.terminate();
  });
});

describe('connections by address', { concurrency: false }, () => {
  let server;
  before(async () => {
    server = await Server.start({
      config: 'main',
      env: {
        CENTRIFUGO_CLIENT_RATE_LIMIT_IP_CONNECT_ENABLED: 'true',
        CENTRIFUGO_CLIENT_RATE_LIMIT_IP_CONNECT_MAX_CONCURRENT_PER_IP: '2',
      },
    });
  });
  after(() => server.stop());

  it('above the limit are refused with 429, others are not', async () => {
    const from = (localAddress) => knock(server, { localAddress });
    const first = [await from('127.0.0.2'), await from('127.0.0.2')];
    assert.ok(first.every(({ socket }) => socket));
    const refused = await from('127.0.0.2');
    assert.equal(refused.status, 429);
    assert.ok(refused.retryAfter >= 10 && refused.retryAfter <= 20, `Retry-After: ${refused.retryAfter}`);
    assert.match(server.stderr, /from 127\.0\.0\.2 was refused: .*max_concurrent_per_ip/);
    const other = await from('127.0.0.3');
    assert.ok(other.socket, 'another address');
    assert.equal(await refusals(server, 'address_limit'), 1);
    first[0].socket.terminate();
    const again = await until(async () => {
      const answer = await from('127.0.0.2');
      return answer.socket && answer;
    }, 'a place becomes free');
    for (const { socket } of [...first, other, again]) socket.terminate();
  });
});

describe('a reconnect storm', { concurrency: false }, () => {
  const CLIENTS = 1000;
  let server;
  before(async () => {
    server = await Server.start({
      config: 'main',
      env: { CENTRIFUGO_CLIENT_CONNECTION_RATE_LIMIT: '100', TRUNKLINE_TRUNKLINE_HANDSHAKE_WAIT_MAX: '3s' },
    });
  });
  after(() => server.stop());

  it(`of ${CLIENTS} handshakes at once all get in or get 503, and a subscriber misses nothing`, async () => {
    const witness = await Witness.start(server);
    const storm = Promise.all(range(1, CLIENTS).map(() => knock(server)));
    let over = false;
    storm.then(() => { over = true; });
    while (!over) await witness.publish();
    const answers = await storm;
    const inside = answers.filter(({ socket }) => socket);
    const refused = answers.filter(({ socket }) => !socket);
    // A second's worth at once, and as many as may pass while one waits.
    assert.ok(inside.length >= 400, `${inside.length} got in`);
    assert.ok(refused.every(({ status, retryAfter }) => status === 503 && retryAfter >= 5 && retryAfter <= 10));
    assert.equal(await refusals(server, 'handshake_rate'), refused.length);
    if (refused.length > 0) assert.ok(await server.metric('trunkline_handshakes_delayed_total') >= 300);
    assert.equal(await server.metric('trunkline_handshakes_waiting'), 0);
    await witness.end();
    for (const { socket } of inside) socket.terminate();
  });

  it('ends: the next one gets in', async () => {
    (await until(async () => {
      const answer = await knock(server);
      return answer.socket;
    }, 'a handshake')).terminate();
  });
});

describe('descriptors used up', { concurrency: false }, () => {
  let server;
  before(async () => {
    server = await Server.start({ config: 'main', descriptors: 64, env: { TRUNKLINE_TRUNKLINE_SHARDS: '2' } });
  });
  after(() => server.stop());

  it('new clients are told, existing ones go on, and all is well when descriptors return', async () => {
    const witness = await Witness.start(server);
    const inside = [];
    for (;;) {
      const answer = await knock(server);
      if (!answer.socket) {
        assert.equal(answer.status, 503);
        assert.ok(answer.retryAfter >= 5);
        break;
      }
      inside.push(answer.socket);
      await witness.publish();
    }
    assert.ok(inside.length > 10, `${inside.length} got in`);
    // More than the reserve has, at once and one after another: each is told or waits, nobody else suffers.
    const answers = await Promise.all(range(1, 50).map(() => knock(server)));
    assert.ok(answers.every(({ status }) => status === 503));
    await witness.publish(20);
    assert.match(server.stderr, /may open no more files/);
    for (const socket of inside) socket.terminate();
    const { socket } = await until(async () => {
      const answer = await knock(server);
      return answer.socket && answer;
    }, 'descriptors return');
    assert.ok(await refusals(server, 'descriptors') >= 51);
    socket.terminate();
    await witness.end();
  });
});

describe('what one client may ask for', { concurrency: false }, () => {
  let server;
  before(async () => {
    server = await Server.start({
      config: 'main',
      env: {
        // An hour: a bucket that gets nothing back while a test runs.
        CENTRIFUGO_CLIENT_RATE_LIMIT_CLIENT_COMMAND_ENABLED: 'true',
        CENTRIFUGO_CLIENT_RATE_LIMIT_CLIENT_COMMAND_TOTAL_ENABLED: 'true',
        CENTRIFUGO_CLIENT_RATE_LIMIT_CLIENT_COMMAND_TOTAL_BUCKETS: '[{"interval":"1h","rate":5}]',
        CENTRIFUGO_CLIENT_RATE_LIMIT_CLIENT_ERROR_ENABLED: 'true',
        CENTRIFUGO_CLIENT_RATE_LIMIT_CLIENT_ERROR_TOTAL_ENABLED: 'true',
        CENTRIFUGO_CLIENT_RATE_LIMIT_CLIENT_ERROR_TOTAL_BUCKETS: '[{"interval":"1h","rate":3}]',
        CENTRIFUGO_CLIENT_USER_CONNECTION_LIMIT: '2',
        CENTRIFUGO_CLIENT_STALE_CLOSE_DELAY: '500ms',
        TRUNKLINE_TRUNKLINE_SHARDS: '3',
      },
    });
  });
  after(() => server.stop());

  it('commands above the rate are error 111, an unsubscribe is not refused, and too many errors end it (3509)', async () => {
    const channel = freshChannel();
    const client = await RawClient.connect(server);
    await client.ask('subscribe', { channel });
    for (let n = 1; n <= 4; ++n) await client.ask('publish', { channel, data: n });
    const refused = await client.command('publish', { channel, data: 5 });
    assert.deepEqual(refused.error, { code: 111, message: 'too many requests', temporary: true });
    assert.ok(await client.ask('unsubscribe', { channel }));
    assert.match(server.stderr, /too many commands \(111\)/);
    const other = await RawClient.connect(server);
    assert.ok(await other.ask('publish', { channel, data: 5 }), 'another client has a rate of its own');
    other.end();
    for (let i = 2; i <= 3; ++i) assert.equal(await client.refused('publish', { channel, data: 6 }), 111);
    client.send({ id: 99, publish: { channel, data: 6 } });
    await client.closedWith(3509);
    assert.equal(await server.metric('trunkline_commands_refused_total'), 4);
    assert.equal(await server.metric('trunkline_disconnects_total', '{code="3509"}'), 1);
  });

  it('a WebSocket that does not authenticate in time is closed with 3502, and the log says so', async () => {
    const client = await RawClient.open(server);
    await client.closedWith(3502);
    assert.match(server.stderr, /was closed \(3502\).*stale_close_delay/);
  });

  it("a user's connections are counted over all shards: the third is closed with 3504", async () => {
    const connect = { token: token({ sub: 'ann' }) };
    const outcome = (client) => within(new Promise((resolve) => {
      client.socket.on('message', () => resolve('in'));
      client.closed.then(({ code }) => resolve(code));
      client.send({ id: 1, connect });
    }), 'a reply or a close');
    const clients = await Promise.all(range(1, 6).map(() => RawClient.open(server)));
    const outcomes = await Promise.all(clients.map(outcome));
    assert.deepEqual([...outcomes].sort(), [3504, 3504, 3504, 3504, 'in', 'in']);
    clients[outcomes.indexOf('in')].end();
    const again = await until(async () => {
      const client = await RawClient.open(server);
      return (await outcome(client)) === 'in' && client;
    }, 'a place of the user becomes free');
    again.end();
    for (const client of clients) client.end();
  });
});

describe('memory', { concurrency: false }, () => {
  const LIMIT = 1_000_000;
  let server;
  before(async () => {
    server = await Server.start({ config: 'main', env: { TRUNKLINE_TRUNKLINE_MEMORY_LIMIT: String(LIMIT) } });
  });
  after(() => server.stop());

  it('logs are evicted before anything is refused', async () => {
    const data = { pad: 'x'.repeat(50000) };
    for (let i = 0; i < 60; ++i) await server.result('publish', { channel: freshChannel(), data });
    assert.ok(await server.metric('trunkline_replay_evicted_publications_total') > 30);
    assert.equal(await refusals(server, 'memory'), 0);
  });

  it('above the limit nothing new begins, those who are connected stay, and it goes on when there is room', async () => {
    const witness = await Witness.start(server);
    await witness.publish(5);
    const inside = [];
    await until(async () => {
      const answer = await knock(server);
      if (answer.socket) inside.push(answer.socket);
      return answer.status === 503;
    }, 'a refusal', 60000, 0);
    // The one that was refused has gone, and with it perhaps what was too much: so a little more.
    const idle = await Promise.all(range(1, 20).map(() => TcpClient.open(server)));
    const memory = () => server.metric('trunkline_memory_bytes', '{part="fixed"}');
    await until(async () => (await memory()) > LIMIT, 'more than the limit');
    assert.equal(await server.metric('trunkline_memory_bytes', '{part="evictable"}'), 0);
    assert.equal(await status(server, '/health'), 200);
    assert.deepEqual((await server.api('publish', { channel: witness.channel, data: 0 })).error,
      { code: 100, message: 'the server is short of memory' });
    const refused = await witness.client.command('subscribe', { channel: freshChannel() });
    assert.deepEqual(refused.error, { code: 100, message: 'the server is short of memory', temporary: true });
    for (const socket of inside) socket.terminate();
    for (const client of idle) client.socket.destroy();
    await until(async () => (await memory()) < LIMIT / 2, 'memory is given back');
    assert.ok(await witness.client.ask('subscribe', { channel: freshChannel() }));
    await witness.end();
  });
});
