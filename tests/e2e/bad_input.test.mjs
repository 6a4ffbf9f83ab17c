// SPDX-License-Identifier: Apache-2.0
//
// Bytes that no client should send. Each ends its own connection as it should and no other one's: a
// healthy client receives a stream all the while, and the server is the same process at the end.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { offsets, range, RawClient } from './fixture/raw_client.mjs';
import { freshChannel, Server } from './fixture/server.mjs';
import { frame, HANDSHAKE, TcpClient } from './fixture/tcp_client.mjs';
import { event } from './fixture/wait.mjs';

const CONNECT = frame('{"id":1,"connect":{}}');

describe('bad input', { concurrency: false }, () => {
  let server;
  let healthy;
  let publishing;
  let streaming = true;
  let published = 0;
  const channel = freshChannel();
  before(async () => {
    server = await Server.start({ config: 'main' });
    healthy = await RawClient.connect(server);
    await healthy.ask('subscribe', { channel });
    publishing = (async () => {
      while (streaming) await server.publishNumbers(channel, ++published, 1);
    })();
  });
  after(async () => {
    healthy.end();
    await server.stop();
  });

  const closes = (name, code, ...chunks) => it(`${name} closes with ${code}`, async () => {
    const client = await TcpClient.upgraded(server);
    client.send(...chunks);
    const close = await client.close();
    assert.equal(close.code, code, close.reason);
    if (code >= 3000) assert.ok(close.reason.length > 0, 'a reason in words');
  });

  it('garbage instead of HTTP ends the connection', async () => {
    const client = await TcpClient.open(server);
    client.send(Buffer.from(range(0, 999).map((i) => (i * 167 + 13) % 256)), '\r\n\r\n');
    const answer = await client.end();
    assert.ok(answer.length === 0 || answer.toString('latin1').startsWith('HTTP/1.1 4'), answer.toString('latin1'));
  });

  it('half a handshake and an end is no harm', async () => {
    const client = await TcpClient.open(server);
    client.send(HANDSHAKE.slice(0, 60));
    client.socket.end();
    await client.end();
  });

  it('half a handshake and a reset is no harm', async () => {
    const client = await TcpClient.open(server);
    client.send(HANDSHAKE.slice(0, 60));
    client.socket.resetAndDestroy();
    await client.end();
  });

  it('a handshake in single bytes is a handshake', async () => {
    const client = await TcpClient.open(server);
    client.socket.setNoDelay(true);
    for (const byte of HANDSHAKE) {
      await new Promise((resolve) => client.socket.write(byte, resolve));
    }
    while (!client.bytes.includes('\r\n\r\n')) await event(client.socket, 'data');
    assert.match(client.bytes.toString('latin1'), /^HTTP\/1\.1 101 /);
    assert.match(client.bytes.toString('latin1'), /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i);
    client.socket.destroy();
  });

  it('a header that never ends is refused', async () => {
    const client = await TcpClient.open(server);
    client.send('GET / HTTP/1.1\r\n', `X-Long: ${'a'.repeat(1 << 20)}`);
    const answer = await client.end();
    assert.ok(answer.length === 0 || /^HTTP\/1\.1 4/.test(answer.toString('latin1')), answer.toString('latin1', 0, 80));
  });

  it('a handshake without a key is refused with 400', async () => {
    const client = await TcpClient.open(server);
    client.send(HANDSHAKE.replace(/Sec-WebSocket-Key.*\r\n/, ''));
    while (!client.bytes.includes('\r\n\r\n')) await event(client.socket, 'data');
    assert.match(client.bytes.toString('latin1'), /^HTTP\/1\.1 400 /);
    client.socket.destroy();
  });

  it('a list field in several lines reads as one', async () => {
    const client = await TcpClient.open(server);
    client.send(HANDSHAKE.replace('Connection: Upgrade', 'Connection: keep-alive\r\nConnection: Upgrade'));
    while (!client.bytes.includes('\r\n\r\n')) await event(client.socket, 'data');
    assert.match(client.bytes.toString('latin1'), /^HTTP\/1\.1 101 /);
    client.socket.destroy();
  });

  it('another version of WebSocket is refused with 426', async () => {
    const client = await TcpClient.open(server);
    client.send(HANDSHAKE.replace('Version: 13', 'Version: 8'));
    while (!client.bytes.includes('\r\n\r\n')) await event(client.socket, 'data');
    assert.match(client.bytes.toString('latin1'), /^HTTP\/1\.1 426 /);
    assert.match(client.bytes.toString('latin1'), /sec-websocket-version: 13/i);
    client.socket.destroy();
  });

  const hugeFrame = Buffer.from([0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0x41]);
  closes('a frame that claims 2^62 bytes', 1009, CONNECT, hugeFrame);
  closes('a frame longer than the limit', 1009, CONNECT, frame('x'.repeat(70000)));
  closes('fragments that together are longer than the limit', 1009, CONNECT, frame('x'.repeat(40000), { first: 0x01 }),
    frame('x'.repeat(40000), { first: 0x80 }));
  closes('an unmasked frame', 1002, CONNECT, frame('{"id":2}', { masked: false }));
  closes('a reserved bit', 1002, CONNECT, frame('{}', { first: 0xc1 }));
  closes('a reserved opcode', 1002, CONNECT, frame('{}', { first: 0x83 }));
  closes('a fragmented ping', 1002, CONNECT, frame('', { first: 0x09 }));
  closes('a ping of 126 bytes', 1002, CONNECT, frame('x'.repeat(126), { first: 0x89 }));
  closes('a continuation of nothing', 1002, CONNECT, frame('x', { first: 0x80 }));
  closes('invalid UTF-8', 1007, CONNECT, frame([0x22, 0xc3, 0x28, 0x22]));
  closes('a surrogate in UTF-8', 1007, CONNECT, frame([0xed, 0xa0, 0x80]));
  closes('UTF-8 that ends within a character', 1007, CONNECT, frame([0x22, 0xe2, 0x82]));
  closes('text that is not JSON', 3501, CONNECT, frame('GET / HTTP/1.1'));
  closes('JSON that ends too early', 3501, CONNECT, frame('{"id":2,"subscribe":{"channel":"a"'));
  closes('JSON nested 20,000 deep', 3501, CONNECT, frame('['.repeat(20000)));
  closes('an unknown command', 3501, CONNECT, frame('{"id":2,"dance":{}}'));
  closes('an id below zero', 3501, CONNECT, frame('{"id":-1,"presence":{"channel":"a"}}'));
  closes('an id beyond 32 bits', 3501, CONNECT, frame('{"id":4294967296,"presence":{"channel":"a"}}'));
  closes('a channel that is a number', 3501, CONNECT, frame('{"id":2,"subscribe":{"channel":5}}'));
  closes('an empty frame', 3501, CONNECT, frame(''));
  closes('a command before connect', 3501, frame('{"id":1,"subscribe":{"channel":"a"}}'));

  it('subscribing twice in one frame is one reply and one error 105', async () => {
    const client = await RawClient.connect(server);
    const twice = freshChannel();
    client.send({ id: 11, subscribe: { channel: twice } }, { id: 12, subscribe: { channel: twice } });
    assert.ok((await client.reply(11)).subscribe);
    assert.equal((await client.reply(12)).error.code, 105);
    client.end();
  });

  it('a Close frame is answered with its code', async () => {
    const client = await TcpClient.upgraded(server);
    client.send(CONNECT, frame([0x03, 0xe8], { first: 0x88 }));
    assert.equal((await client.close()).code, 1000);
  });

  it('a WebSocket ping is answered with its payload', async () => {
    const client = await RawClient.connect(server);
    const answer = event(client.socket, 'pong');
    client.socket.ping('payload');
    assert.equal((await answer).toString(), 'payload');
    client.end();
  });

  it('a hundred connections that break off at once are no harm', async () => {
    const clients = await Promise.all(range(1, 100).map(() => TcpClient.upgraded(server)));
    for (const [i, client] of clients.entries()) {
      client.send(CONNECT, frame(`{"id":2,"subscribe":{"channel":"${channel}"}}`), CONNECT.subarray(0, i % 20));
      client.socket.resetAndDestroy();
    }
    await Promise.all(clients.map((client) => client.end()));
  });

  it('meanwhile the healthy client has received everything, once and in order', async () => {
    streaming = false;
    await publishing;
    assert.deepEqual(offsets(await healthy.waitPublications(channel, published)), range(1, published));
    assert.equal(server.process.exitCode, null);
  });
});
