// SPDX-License-Identifier: Apache-2.0
//
// A client in another language on another library: Debian's python3-websockets.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { range } from './fixture/raw_client.mjs';
import { Server } from './fixture/server.mjs';

describe('python3-websockets', () => {
  it('connects, subscribes, publishes, drops and recovers', async () => {
    const server = await Server.start({ config: 'main' });
    const script = fileURLToPath(new URL('python_client.py', import.meta.url));
    const { stdout } = await promisify(execFile)('/usr/bin/python3', ['-B', script, server.websocket], { timeout: 30000 });
    const seen = JSON.parse(stdout);
    assert.ok(seen.client);
    assert.deepEqual(seen.live, range(1, 5));
    assert.equal(seen.recovered, true);
    assert.deepEqual(seen.missed, range(6, 15));
    assert.deepEqual(seen.numbers, range(6, 15));
    await server.stop();
  });
});
