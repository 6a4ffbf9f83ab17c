// SPDX-License-Identifier: Apache-2.0
//
// One connection on the bare JSON protocol over WebSocket, and its codes in words. Knows nothing of
// the page.
const PING_GRACE_MS = 10000;

const WORDS = {
  100: 'the server had an internal error', 101: 'not authorised',
  102: 'there is no such namespace', 103: 'permission denied in this channel',
  104: 'the server has no such method', 105: 'already subscribed',
  106: 'a limit of the server was reached', 107: 'the server did not accept this request',
  108: 'the feature is off in this channel', 109: 'the token has expired', 110: 'expired',
  111: 'too many requests, try again', 112: 'the log no longer holds this position',
  1000: 'closed normally', 1001: 'the server went away', 1002: 'a WebSocket rule was broken',
  1005: 'closed without a code', 1006: 'the connection broke off, or the server cannot be reached',
  1007: 'text that is not UTF-8', 1009: 'a message was too large',
  2000: 'unsubscribed by the server', 2500: 'positions no longer fit, subscribing again',
  2501: 'the subscription has expired',
  3000: 'closed by the server', 3001: 'the server is shutting down',
  3004: 'the server had an internal error', 3005: 'the connection has expired',
  3006: 'a subscription has expired', 3008: 'this page read too slowly',
  3009: 'the server could not write', 3010: 'positions no longer fit',
  3011: 'the server asked for a reconnect', 3012: 'a pong did not arrive in time',
  3013: 'too many requests', 3014: 'the state was made invalid', 3500: 'the token is invalid',
  3501: 'the server did not accept a command (or no credentials)', 3502: 'not connected in time',
  3503: 'disconnected by an operator', 3504: 'too many connections', 3505: 'too many channels',
  3506: 'wrong protocol', 3507: 'permission denied', 3508: 'not available', 3509: 'too many errors',
};
export const words = (code, text) => `${WORDS[code] || text || 'unknown'} (${code})`;
export const terminal = (code) =>
  code === 1009 || (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);

// One connection. Replies arrive by callback and not by promise: what follows a subscribe reply in
// the same frame must find the subscription in place.
export class Link {
  // on: {open(result), push(push), closed(code, reason)}; `closed` also tells a refused connect.
  // hello: what else the connect command has.
  constructor(on, hello = {}) {
    this.on = on;
    this.waiting = new Map();
    this.lastId = 0;
    this.ready = false;
    const url = new URL('connection/websocket', location.href);
    url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    url.hash = '';
    this.socket = new WebSocket(url);
    this.socket.onopen = () => this.request('connect', { name: 'trunkline-page', ...hello }, (error, result) => {
      if (error) return this.end(error.code, error.message);
      this.ready = true;
      this.silenceMs = result.ping ? result.ping * 1000 + PING_GRACE_MS : 0;
      this.pong = result.pong === true;
      this.watchSilence();
      this.on.open(result);
    });
    this.socket.onmessage = (event) => this.receive(event.data);
    this.socket.onclose = (event) => this.end(event.code, event.reason);
  }

  request(name, body, done) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.waiting.set(++this.lastId, { name, done });
    this.socket.send(JSON.stringify({ id: this.lastId, [name]: body }));
  }

  receive(frame) {
    this.watchSilence();
    for (const line of frame.split('\n')) {
      if (line === '') continue;
      const reply = JSON.parse(line);
      if (reply.push) this.on.push(reply.push);
      else if (reply.id) this.answer(reply);
      else if (this.pong) this.socket.send('{}');
    }
  }

  answer(reply) {
    const asked = this.waiting.get(reply.id);
    this.waiting.delete(reply.id);
    if (asked) asked.done(reply.error, reply[asked.name]);
  }

  // A server that says nothing for its ping interval and some grace is gone.
  watchSilence() {
    clearTimeout(this.silence);
    if (this.silenceMs) this.silence = setTimeout(() => this.end(1006, 'no ping'), this.silenceMs);
  }

  // Hears nothing from here on, whatever is still under way.
  close() {
    clearTimeout(this.silence);
    this.ready = false;
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
  }

  end(code, reason) {
    this.close();
    this.on.closed(code, reason);
  }
}
