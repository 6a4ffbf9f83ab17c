// SPDX-License-Identifier: Apache-2.0
//
// `trunkline sub` and `pub`, which are the C++ client, against the server: over TLS, whom they trust
// and what they say when they do not, and with compression.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { certificate } from './fixture/certificate.mjs';
import { Command } from './fixture/command.mjs';
import { Proxy } from './fixture/proxy.mjs';
import { range } from './fixture/raw_client.mjs';
import { freshChannel, Server } from './fixture/server.mjs';

describe('command line', { concurrency: false }, () => {
  let folder;
  let own;
  let stranger;
  let client;
  let server;
  const start = (name, tls, options = {}) => {
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify({
      client: { insecure: true },
      http_api: { key: 'test-api-key' },
      channel: { without_namespace: { history_size: 100, history_ttl: '300s', force_recovery: true,
        allow_publish_for_client: true } },
      http_server: { tls: { enabled: true, cert_pem_file: own.cert, key_pem_file: own.key, ...tls } },
    }));
    return Server.start({ args: ['--config', path], ...options });
  };

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'trunkline-command-line-'));
    [own, stranger, client] = ['server', 'stranger', 'client'].map((name) => certificate(folder, name));
    server = await start('server.json', {});
  });
  after(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  // One publication from `pub` to `sub`, both with these options.
  const carries = async (url, options) => {
    const channel = freshChannel();
    const sub = new Command('sub', channel, '--url', url, '-n', '1', ...options);
    await sub.tells(/: subscribed/);
    const pub = new Command('pub', channel, '{"hello":"world"}', '--url', url, ...options);
    assert.equal(await pub.ends(), 0, pub.told.items.join('\n'));
    assert.equal(await sub.ends(), 0, sub.told.items.join('\n'));
    assert.deepEqual(sub.out.items, [`${channel} 1 {"hello":"world"}`]);
  };

  const refused = async (url, options, pattern) => {
    const sub = new Command('sub', freshChannel(), '--url', url, ...options);
    await sub.tells(pattern).finally(() => sub.interrupt());
    assert.deepEqual(sub.out.items, []);
  };

  it('a server is trusted by --ca, under its address and its name', async () => {
    await carries(server.websocket, ['--ca', own.cert]);
    await carries(server.websocket.replace('127.0.0.1', 'localhost'), ['--ca', own.cert]);
  });

  it('a server is taken unseen by --insecure, and only by that', async () => {
    await carries(server.websocket, ['--insecure']);
    await refused(server.websocket, [], /certificate of 127\.0\.0\.1 is not trusted .*system's store/);
    await refused(server.websocket, ['--ca', stranger.cert], /certificate of 127\.0\.0\.1 is not trusted/);
    const elsewhere = certificate(folder, 'elsewhere', 'DNS:elsewhere.example');
    const other = await start('other.json', { cert_pem_file: elsewhere.cert, key_pem_file: elsewhere.key });
    await refused(other.websocket, ['--ca', elsewhere.cert], /the certificate is not for 127\.0\.0\.1/);
    await other.stop();
  });

  it('--cert and --key show who the client is', async () => {
    const strict = await start('strict.json', { client_ca_pem_file: client.cert });
    await carries(strict.websocket, ['--ca', own.cert, '--cert', client.cert, '--key', client.key]);
    await refused(strict.websocket, ['--ca', own.cert], /a client certificate is needed/);
    await refused(strict.websocket, ['--ca', own.cert, '--cert', stranger.cert, '--key', stranger.key],
      /does not accept the certificate/);
    await strict.stop();
  });

  it('what cannot be used ends the command at once, with the reason', async () => {
    for (const [url, options, reason] of [
      [server.websocket, ['--ca', '/nowhere.pem'], /CA file: \/nowhere\.pem: No such file/],
      [server.websocket, ['--cert', client.cert, '--key', stranger.key], /key values mismatch/],
      [server.websocket, ['--cert', client.cert], /--key/],
      [server.websocket, ['--ca', own.cert, '--insecure'], /--insecure/],
      [server.websocket.replace('wss', 'ws'), ['--ca', own.cert], /TLS options are for wss/]]) {
      for (const args of [['sub', 'c'], ['pub', 'c', '1']]) {
        const command = new Command(...args, '--url', url, ...options);
        assert.notEqual(await command.ends(), 0, `${args} ${options}`);
        assert.match(command.told.items.join('\n'), reason);
      }
    }
  });

  it('sub comes back over TLS after a restart', async () => {
    const channel = freshChannel();
    const first = await start('first.json', {});
    const sub = new Command('sub', channel, '--url', first.websocket, '--ca', own.cert, '-n', '2');
    await sub.tells(/: subscribed/);
    const publish = (text) => new Command('pub', channel, text, '--url', first.websocket, '--ca', own.cert).ends();
    assert.equal(await publish('"before"'), 0);
    await sub.out.count(1, () => true, 'lines');
    await first.kill();
    const second = await start('first.json', {}, { port: first.port });
    await sub.tells(/no longer holds/, 30000);
    assert.equal(await publish('"after"'), 0);
    assert.equal(await sub.ends(), 0);
    assert.deepEqual(sub.out.items, [`${channel} 1 "before"`, `${channel} 1 "after"`]);
    await second.stop();
  });

  it('--compress saves bytes on the wire', async () => {
    const compressing = await Server.start({ config: 'compression' });
    const proxy = await Proxy.start(compressing);
    const channel = freshChannel();
    const sub = new Command('sub', channel, '--url', proxy.websocket, '--compress');
    await sub.tells(/: subscribed/);
    const words = (n) => `the quick brown fox ${n} `.repeat(2000);
    for (const n of range(1, 20)) await compressing.result('publish', { channel, data: words(n) });
    const lines = await sub.out.count(20, () => true, 'publications');
    assert.deepEqual(lines, range(1, 20).map((n) => `${channel} ${n} ${JSON.stringify(words(n))}`));
    const bytes = [...proxy.sockets].reduce((sum, socket) => sum + socket.bytesRead, 0);
    assert.ok(bytes < lines.join('').length / 10, `${bytes} bytes`);
    assert.equal(await sub.interrupt(), 0);
    proxy.stop();
    await compressing.stop();
  });

  it('--help names the options', async () => {
    for (const name of ['sub', 'pub']) {
      const help = new Command(name, '--help');
      assert.equal(await help.ends(), 0);
      for (const option of ['--ca', '--cert', '--key', '--insecure', '--compress', 'wss://']) {
        assert.ok(help.out.items.join('\n').includes(option), `${name} ${option}`);
      }
    }
  });
});
