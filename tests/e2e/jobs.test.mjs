// SPDX-License-Identifier: Apache-2.0
//
// Jobs of a backend (docs/jobs.md): what it streams line by line is told to clients of the official
// JavaScript SDK, over lost connections too.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { connected, sdkClient } from './fixture/sdk_client.mjs';
import { Server } from './fixture/server.mjs';
import { event, Inbox, within } from './fixture/wait.mjs';

// Takes requests and leaves the answering to the test.
class Streaming {
  static async start() {
    const streaming = new Streaming();
    streaming.requests = new Inbox(); // {body, response, closed}
    streaming.http = createServer(async (request, response) => {
      let text = '';
      for await (const part of request) text += part;
      streaming.requests.put({ body: JSON.parse(text), response, closed: once(response, 'close') });
    });
    streaming.http.listen(0, '127.0.0.1');
    await once(streaming.http, 'listening');
    streaming.url = `http://127.0.0.1:${streaming.http.address().port}/job`;
    return streaming;
  }

  // The request for this data.
  take(number) {
    return this.requests.find((one) => one.body.data?.number === number, `request ${number}`);
  }

  async stop() {
    this.http.closeAllConnections();
    this.http.close();
  }
}

describe('jobs of a backend', { concurrency: false }, () => {
  let server;
  let backend;
  const clients = [];
  let number = 0;
  const tell = (request, value) => request.response.write(`${JSON.stringify(value)}\n`);

  // A client and what it was told of jobs.
  const join = async () => {
    const client = sdkClient(server);
    client.told = new Inbox();
    client.on('publication', ({ channel, data }) => client.told.put({ channel, data }));
    clients.push(client);
    return connected(client);
  };
  const start = async (client) => {
    number += 1;
    const { data } = await client.rpc('rescan', { number });
    assert.equal(data.channel, `job:${data.job}`);
    return { ...data, request: await backend.take(number) };
  };
  const told = (client, job, wanted) => client.told.find(
    (one) => one.channel === job.channel && JSON.stringify(one.data) === JSON.stringify(wanted),
    JSON.stringify(wanted));
  const of = (client, job) => client.told.items
    .filter((one) => one.channel === job.channel).map((one) => one.data);

  before(async () => {
    backend = await Streaming.start();
    server = await Server.start({
      demo: true,
      env: {
        TRUNKLINE_PROXIES: JSON.stringify([{ name: 'backend', endpoint: backend.url }]),
        TRUNKLINE_TRUNKLINE_JOBS_METHODS: JSON.stringify([{ name: 'rescan', proxy_name: 'backend' }]),
      },
    });
  });
  after(async () => {
    for (const client of clients) client.disconnect();
    await server.stop();
    await backend.stop();
  });

  it('are told as progress line by line, and their last line as the result', async () => {
    const client = await join();
    const job = await start(client);
    assert.equal(job.request.body.method, 'rescan');
    tell(job.request, { height: 1 });
    tell(job.request, { height: 2 });
    await told(client, job, { progress: { height: 1 } });
    const { data } = await client.rpc('job.list', {});
    assert.deepEqual(data.jobs.map((one) => [one.job, one.method, one.state]),
      [[job.job, 'rescan', 'running']]);
    tell(job.request, { found: 3 });
    job.request.response.end();
    await told(client, job, { result: { found: 3 } });
    assert.deepEqual(of(client, job),
      [{ progress: { height: 1 } }, { progress: { height: 2 } }, { result: { found: 3 } }]);
    assert.deepEqual((await client.rpc('job.list', {})).data, { jobs: [] });
  });

  it('end with the error that the last line says', async () => {
    const client = await join();
    const job = await start(client);
    tell(job.request, { error: { code: 1234, message: 'no "such" account' } });
    job.request.response.end();
    await told(client, job, { error: { code: 1234, message: 'no "such" account' } });
  });

  it('end with an error when the backend breaks off', async () => {
    const client = await join();
    const job = await start(client);
    tell(job.request, 1);
    tell(job.request, 2);
    await told(client, job, { progress: 1 });
    job.request.response.destroy();
    await client.told.find((one) => one.channel === job.channel && one.data.error?.code === 100, 'an error');
  });

  it('are cancelled by closing the request', async () => {
    const client = await join();
    const job = await start(client);
    tell(job.request, 1);
    await client.rpc('job.cancel', { job: job.job });
    await within(job.request.closed, 'the request is closed');
    await told(client, job, { error: { code: 120, message: 'cancelled' } });
    await assert.rejects(client.rpc('job.cancel', { job: job.job }), { code: 108 });
  });

  it('go on over a lost connection without a gap', async () => {
    const client = await join();
    const job = await start(client);
    tell(job.request, 1);
    tell(job.request, 2);
    await told(client, job, { progress: 1 });
    const lost = event(client, 'connecting');
    const back = event(client, 'connected');
    client._transport.close(); // as if the network had
    await lost;
    tell(job.request, 3);
    await back;
    tell(job.request, 'all');
    job.request.response.end();
    await told(client, job, { result: 'all' });
    const data = of(client, job);
    assert.deepEqual(data.filter((one) => one.progress === 1), [{ progress: 1 }]);
    assert.deepEqual(data.slice(-2), [{ progress: 3 }, { result: 'all' }]);
  });

  it('do not delay other commands, and are limited', async () => {
    const client = await join();
    const job = await start(client);
    await assert.rejects(client.rpc('rescan', { number: 0 }), { code: 106 });
    await client.publish('beside', { n: 1 });
    job.request.response.end();
    await told(client, job, { result: null });
  });

  it('are cancelled when the server stops, and do not hold it up', async () => {
    const client = await join();
    const job = await start(client);
    tell(job.request, 1);
    const gone = event(client, 'connecting');
    await server.stop();
    await within(job.request.closed, 'the request is closed');
    await told(client, job, { error: { code: 120, message: 'the server stops' } });
    assert.equal((await gone).code, 3001);
    server = { stop: async () => {} };
  });
});
