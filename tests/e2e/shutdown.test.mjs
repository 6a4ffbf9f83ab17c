// SPDX-License-Identifier: Apache-2.0
//
// The server is stopped at many moments of what clients can be doing: connecting, subscribing,
// catching up, calling the HTTP API, stalling. It must end in order each time.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { range, RawClient } from './fixture/raw_client.mjs';
import { freshChannel, Server } from './fixture/server.mjs';
import { within } from './fixture/wait.mjs';

const STOPS = Number(process.env.E2E_STOPS ?? 200);

describe('shutdown', { concurrency: false }, () => {
  // What one client does until its server is gone; how it ends does not matter here.
  const busy = async (server, kind, channel) => {
    try {
      for (;;) {
        if (kind === 0) {
          const client = await RawClient.connect(server);
          await client.ask('subscribe', { channel });
          client.end();
        } else if (kind === 1) {
          await server.result('publish', { channel, data: 'x'.repeat(2000) });
        } else {
          const client = await RawClient.open(server);
          client.socket.terminate();
        }
      }
    } catch {
      // The server has gone.
    }
  };

  it(`ends with status 0 at ${STOPS} moments under load`, { timeout: 170000 }, async () => {
    for (let stop = 0; stop < STOPS; ++stop) {
      const server = await Server.start({ config: 'load', args: stop % 2 ? ['--no-io-uring'] : [] });
      const channel = freshChannel(stop % 3 ? undefined : 'small');
      const work = range(0, 5).map((n) => busy(server, n % 3, channel));
      // As many questions as this stop's number: each time a little later, whatever the machine.
      const steady = await RawClient.connect(server);
      steady.socket.on('error', () => {});
      await steady.ask('subscribe', { channel });
      if (stop % 50 === 7) steady.socket.pause();
      else for (let n = 0; n < stop % 40; ++n) await steady.ask('history', { channel, limit: 0 });
      await server.stop();
      steady.socket.terminate();
      await Promise.all(work);
    }
  });

  it('clients are disconnected at moments of their own, and served until then', async () => {
    const server = await Server.start({ config: 'load',
      env: { TRUNKLINE_TRUNKLINE_SHUTDOWN_RATE: '10' } });
    const channel = freshChannel();
    const clients = await Promise.all(range(1, 20).map(() => RawClient.connect(server)));
    const told = clients.map(({ closed }) => closed);
    server.process.kill('SIGTERM');
    assert.equal((await Promise.race(told)).code, 3001);
    // Who is still there is answered as ever, until its own turn comes.
    const answers = await Promise.all(clients.map((client) =>
      Promise.race([client.ask('subscribe', { channel }), client.closed]).catch(() => undefined)));
    assert.ok(answers.some((answer) => answer?.code === undefined && answer !== undefined), 'nobody was served');
    for (const { code, reason } of await within(Promise.all(told), 'all are told')) {
      assert.deepEqual([code, reason], [3001, 'shutdown']);
    }
    assert.deepEqual(await within(server.exited, 'the end'), [0, null]);
  });

  it('a second signal ends a server that waits for a stalled client at once', async () => {
    const server = await Server.start({ config: 'load' });
    const channel = freshChannel();
    const client = await RawClient.connect(server);
    await client.ask('subscribe', { channel });
    client.socket.pause();
    for (let i = 0; i < 300; ++i) await server.result('publish', { channel, data: 'x'.repeat(50000) });
    const stopping = new Promise((resolve) => {
      server.process.stderr.on('data', (text) => { if (String(text).includes('stopping')) resolve(); });
    });
    server.process.kill('SIGTERM');
    await within(stopping, 'line "stopping"');
    server.process.kill('SIGTERM');
    const [code, signal] = await within(server.exited, 'the end', 3000);
    assert.deepEqual([code, signal], [null, 'SIGTERM']);
    client.socket.terminate();
  });
});
