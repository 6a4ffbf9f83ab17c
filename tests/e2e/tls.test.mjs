// SPDX-License-Identifier: Apache-2.0
//
// TLS: the same server behind a certificate, which may be replaced while it runs.
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { certificate } from './fixture/certificate.mjs';
import { offsets, range, RawClient } from './fixture/raw_client.mjs';
import { freshChannel, Server } from './fixture/server.mjs';
import { event, within } from './fixture/wait.mjs';

describe('TLS', { concurrency: false }, () => {
  let folder;
  let first;
  let second;
  let server;
  let ca;
  const config = (name, tls) => {
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify({
      client: { insecure: true },
      http_api: { key: 'test-api-key' },
      channel: { without_namespace: { history_size: 20000, history_ttl: '300s', force_recovery: true } },
      http_server: { tls: { enabled: true, cert_pem_file: join(folder, 'used.pem'),
        key_pem_file: join(folder, 'used.key'), ...tls } },
    }));
    return path;
  };
  const use = ({ key, cert }) => {
    copyFileSync(key, join(folder, 'used.key'));
    copyFileSync(cert, join(folder, 'used.pem'));
  };
  const handshake = async (port, options = {}) => {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    const failure = new Promise((resolve) => { socket.on('error', resolve); });
    const secure = event(socket, 'secureConnect').then(() => undefined);
    return { socket, error: await Promise.race([failure, secure]), failure };
  };

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'trunkline-tls-'));
    first = certificate(folder, 'first');
    second = certificate(folder, 'second');
    use(first);
    ca = readFileSync(first.cert);
    server = await Server.start({ args: ['--config', config('server.json', {})] });
  });
  after(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  it('a verified client talks the protocol, and catches up after a stall', async () => {
    assert.match(server.url, /^https:/);
    const channel = freshChannel();
    const client = await RawClient.connect(server, {}, { ca });
    await client.ask('subscribe', { channel });
    const publisher = await RawClient.connect(server, {}, { ca });
    client.socket.pause();
    const data = 'x'.repeat(50000);
    for (let i = 0; i < 300; ++i) await publisher.ask('publish', { channel, data });
    client.socket.resume();
    assert.deepEqual(offsets(await client.waitPublications(channel, 300, 30000)), range(1, 300));
    for (const one of [client, publisher]) one.end();
  });

  it('HTTP requests are answered on one connection', async () => {
    const { socket } = await handshake(server.port);
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (part) => { text += part; });
    const request = (more) => `GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n${more}\r\n`;
    socket.write(request('') + request('Connection: close\r\n'));
    await within(event(socket, 'end'), 'the end in order');
    assert.equal(text.match(/HTTP\/1\.1 200/g)?.length, 2, text);
    socket.destroy();
  });

  it('versions before 1.2 are refused', async () => {
    const { socket, error } = await handshake(server.port,
      { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' });
    assert.ok(error, 'no handshake');
    socket.destroy();
  });

  it('what is not TLS ends its own connection and no other', async () => {
    const healthy = await RawClient.connect(server, {}, { ca });
    for (const bytes of ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', Buffer.alloc(3000, 0xa5), '\x16\x03\x01\xff\xff']) {
      const socket = connectPlain(server.port, '127.0.0.1');
      socket.on('error', () => {});
      await event(socket, 'connect');
      socket.resume();
      socket.end(bytes);
      await within(event(socket, 'close'), 'the connection ends', 15000);
    }
    await healthy.ask('subscribe', { channel: freshChannel() });
    healthy.end();
  });

  it('SIGHUP brings a new certificate, and who is connected stays', async () => {
    const channel = freshChannel();
    const old = await RawClient.connect(server, {}, { ca });
    await old.ask('subscribe', { channel });
    const shown = async () => {
      const { socket } = await handshake(server.port);
      const { subject } = socket.getPeerCertificate();
      socket.destroy();
      return subject.CN;
    };
    assert.equal(await shown(), 'first');
    const told = (text) => within((async () => {
      while (!server.stderr.includes(text)) await event(server.process.stderr, 'data');
    })(), `line "${text}"`);
    writeFileSync(join(folder, 'used.pem'), 'no certificate');
    server.process.kill('SIGHUP');
    await told('the old certificate stays');
    assert.equal(await shown(), 'first');
    use(second);
    server.process.kill('SIGHUP');
    await told('was read again');
    assert.equal(await shown(), 'second');
    const publisher = await RawClient.connect(server, {}, { ca: readFileSync(second.cert) });
    await publisher.ask('publish', { channel, data: 1 });
    await old.waitPublications(channel, 1);
    for (const one of [old, publisher]) one.end();
  });

  it('with a client CA only its clients come in', async () => {
    use(first);
    const strict = await Server.start({ args: ['--config', config('strict.json',
      { client_ca_pem_file: second.cert, min_version: '1.3' })] });
    const known = { cert: readFileSync(second.cert), key: readFileSync(second.key) };
    const client = await RawClient.connect(strict, {}, { ca, ...known });
    client.end();
    // In TLS 1.3 the refusal comes after the client's side of the handshake.
    for (const stranger of [{}, { cert: readFileSync(first.cert), key: readFileSync(first.key) }]) {
      const { socket, error, failure } = await handshake(strict.port, stranger);
      if (!error) await within(failure, 'the alert');
      socket.destroy();
    }
    await strict.stop();
  });

  it('a configuration without a usable certificate does not start', async () => {
    for (const [tls, reason] of [[{ cert_pem_file: '/nowhere.pem' }, /cert_pem_file: \/nowhere\.pem/],
      [{ key_pem_file: second.key }, /key_pem_file/], [{ key_pem_file: '' }, /is needed/],
      [{ min_version: '1.1' }, /min_version/]]) {
      use(first);
      await assert.rejects(Server.start({ args: ['--config', config('bad.json', tls)] }), reason);
    }
  });
});
