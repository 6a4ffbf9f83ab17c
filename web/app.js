// SPDX-License-Identifier: Apache-2.0
//
// The page at `/`: a client on the bare JSON protocol. It checks by itself what it is told: every
// publication's offset must be the last one plus one. Text reaches the page by textContent only.
import { byId, clock, element, number, rectangle, setText } from './dom.js';
import { Link, terminal, words } from './link.js';
import { metrics } from './metrics.js';

const ROWS_KEPT = 60;
const RIBBON_CELLS = 80;
const SECONDS_SHOWN = 60;
const AWAY_MS = 3000;
const AWAY_PUBLICATIONS = 12;
const ROUND_TRIP_CHANNEL = `round-trip-${Math.random()}`;

const backoff = (attempt) => Math.random() * Math.min(20000, 500 * 2 ** attempt);
function report(text, level = 'info') {
  const item = element('li', undefined, { 'data-level': level });
  item.append(element('time', clock(new Date())), element('span', text));
  const list = byId('events');
  list.prepend(item);
  while (list.children.length > 40) list.lastChild.remove();
}

// The last minute, a second a column.
const rate = {
  columns: Array.from({ length: SECONDS_SHOWN }, () => ({ live: 0, recovered: 0, away: false })),
  count(recovered) {
    this.columns[SECONDS_SHOWN - 1][recovered ? 'recovered' : 'live'] += 1;
  },
  tick() {
    this.draw();
    this.columns.shift();
    this.columns.push({ live: 0, recovered: 0, away: drill.phase === 'away' });
  },
  draw() {
    const totals = this.columns.map((column) => column.live + column.recovered);
    const peak = Math.max(...totals);
    const top = Math.max(10, peak * 1.1);
    const width = 600 / SECONDS_SHOWN;
    byId('rate-chart').replaceChildren(...this.columns.flatMap((column, index) => {
      const live = (column.live / top) * 120;
      const recovered = (column.recovered / top) * 120;
      const bars = [];
      if (column.away) bars.push(rectangle(index * width, 0, width, 120, 'away'));
      if (live) bars.push(rectangle(index * width + 1, 120 - live, width - 2, live, 'live'));
      if (recovered) bars.push(rectangle(index * width + 1, 120 - live - recovered, width - 2, recovered, 'recovered'));
      return bars;
    }));
    const now = totals[SECONDS_SHOWN - 1];
    setText(byId('rate-now'), number(now));
    setText(byId('rate-peak'), number(peak));
    byId('rate-chart').setAttribute('aria-label',
      `Deliveries a second over the last 60 seconds: ${now} now, ${peak} at most`);
  },
};

// One watched channel and its card.
class Watch {
  constructor(name) {
    Object.assign(this, {
      name, state: 'waiting', epoch: undefined, offset: undefined, positioned: false, received: 0,
      gaps: 0, duplicates: 0, lost: 0, rows: [], cells: [], dirty: true, attempt: 0, sent: 0,
    });
    this.card = byId('channel-template').content.firstElementChild.cloneNode(true);
    this.card.dataset.channel = name;
    const id = `channel-${Watch.count = (Watch.count || 0) + 1}`;
    this.field('name').textContent = name;
    this.field('name').id = id;
    this.card.setAttribute('aria-labelledby', id);
    this.role('leave').setAttribute('aria-label', `Leave ${name}`);
    this.role('leave').onclick = () => leave(this);
    this.role('scroll').setAttribute('aria-label', `Newest publications of ${name}`);
    this.role('publish-data').id = `${id}-data`;
    this.role('publish-label').htmlFor = `${id}-data`;
    this.role('publish-label').textContent = `Publish to ${name}`;
    this.role('publish').onsubmit = (event) => this.submit(event);
    this.role('auto').setAttribute('aria-label', `Publish 10 a second to ${name}`);
    this.role('auto').onchange = (event) => this.automatic(event.target.checked);
  }

  field(name) { return this.card.querySelector(`[data-field="${name}"]`); }
  role(name) { return this.card.querySelector(`[data-role="${name}"]`); }

  turn(state, detail) {
    this.state = state;
    this.card.dataset.state = state;
    this.field('state').dataset.state = state;
    setText(this.field('state'), detail || state);
    this.dirty = true;
  }

  subscribe() {
    if (!link || !link.ready) return;
    const used = link;
    const body = { channel: this.name };
    if (this.epoch !== undefined) Object.assign(body, { recover: true, epoch: this.epoch, offset: this.offset });
    this.turn('subscribing');
    used.request('subscribe', body, (error, result) => {
      if (error) return this.refused(error);
      this.attempt = 0;
      this.subscribed(result);
    });
  }

  refused(error) {
    this.turn('refused', `refused: ${words(error.code, error.message)}`);
    report(`${this.name}: ${words(error.code, error.message)}`, 'bad');
    if (!error.temporary && error.code !== 112) drill.without(this);
    if (error.temporary || error.code === 112) {
      if (error.code === 112) this.epoch = undefined;
      setTimeout(() => watches.has(this.name) && this.subscribe(), backoff(this.attempt++));
    }
  }

  subscribed(result) {
    const from = this.offset;
    const publications = result.publications || [];
    const told = result.was_recovering && !result.recovered;
    const newEpoch = this.epoch !== undefined && result.epoch !== this.epoch;
    this.positioned = result.positioned === true || result.recoverable === true;
    this.turn('subscribed');
    if (told) this.tellLoss(newEpoch ? undefined : (result.offset || 0) - from);
    if (told || from === undefined) this.offset = result.offset || 0;
    this.epoch = this.positioned ? result.epoch : undefined;
    for (const publication of publications) this.accept(publication, result.recovered === true);
    drill.came(this, { from, told, newEpoch, offset: this.offset, publications });
  }

  // The log no longer held what was missed, and the server said so.
  tellLoss(count) {
    this.lost += count === undefined ? 1 : count;
    this.lostUncounted = this.lostUncounted || count === undefined;
    const text = count === undefined ? 'a new epoch began: what was missed is unknown'
      : `${number(count)} publications were no longer in the log`;
    this.rows.unshift({ told: text });
    report(`${this.name}: ${text}`, 'bad');
  }

  accept(publication, recovered) {
    const offset = publication.offset;
    this.received += 1;
    this.dirty = true;
    rate.count(recovered);
    let kind = recovered ? 'recovered' : 'live';
    if (offset !== undefined && this.offset !== undefined) {
      if (offset <= this.offset) {
        this.duplicates += 1;
        kind = 'missing';
      } else {
        const gap = offset - this.offset - 1;
        this.gaps += gap;
        for (let i = 0; i < Math.min(gap, RIBBON_CELLS); ++i) this.cells.push('missing');
      }
      this.offset = Math.max(offset, this.offset);
    }
    if (publication.epoch !== undefined && this.positioned) this.epoch = publication.epoch;
    this.cells.push(kind);
    if (this.cells.length > RIBBON_CELLS) this.cells.splice(0, this.cells.length - RIBBON_CELLS);
    this.rows.unshift({ offset, recovered, publication, time: new Date(publication.time || Date.now()) });
    if (this.rows.length > ROWS_KEPT) this.rows.length = ROWS_KEPT;
  }

  submit(event) {
    event.preventDefault();
    const input = this.role('publish-data');
    const text = input.value;
    let data = text;
    try { data = JSON.parse(text); } catch { /* not JSON: it travels as a JSON string */ }
    this.publish(data);
    input.select();
  }

  publish(data) {
    if (!link || !link.ready) return report('Not published: there is no connection now.', 'bad');
    link.request('publish', { channel: this.name, data }, (error) => {
      this.role('publish-data').setAttribute('aria-invalid', String(Boolean(error)));
      if (!error) return;
      report(`Publishing to ${this.name}: ${words(error.code, error.message)}`, 'bad');
      this.automatic(false);
    });
  }

  automatic(on) {
    clearInterval(this.timer);
    this.role('auto').checked = on;
    if (on) this.timer = setInterval(() => link && link.ready && this.publish({ n: ++this.sent }), 100);
  }

  verdict() {
    const { gaps, duplicates, lost } = this;
    if (this.received === 0 && !lost) return ['', 'nothing received yet'];
    if (!this.positioned) return ['', `${number(this.received)} received; this channel keeps no history, so there are no offsets to check`];
    const told = lost ? `; ${this.lostUncounted ? 'some' : number(lost)} lost, as the server said` : '';
    if (gaps || duplicates) return ['bad', `${number(gaps)} missing, ${number(duplicates)} duplicate${told}`];
    return [lost ? 'told' : 'good', `${number(this.received)} received, no gap, no duplicate${told}`];
  }

  draw() {
    if (!this.dirty) return;
    this.dirty = false;
    setText(this.field('epoch'), this.epoch ?? '–');
    setText(this.field('offset'), this.offset === undefined ? '–' : String(this.offset));
    const [kind, text] = this.verdict();
    const verdict = this.field('verdict');
    setText(verdict, text);
    Object.assign(verdict.dataset, { verdict: kind, gaps: this.gaps, duplicates: this.duplicates, lost: this.lost, received: this.received });
    const first = RIBBON_CELLS - this.cells.length;
    this.role('ribbon').setAttribute('aria-label', `Newest offsets: ${text}`);
    this.role('ribbon').replaceChildren(...this.cells.map((cell, index) => rectangle((first + index) * 6, 0, 5, 14, cell)));
    this.role('empty').hidden = this.rows.length > 0;
    this.role('publications').replaceChildren(...this.rows.map((row) => this.line(row)));
  }

  line(row) {
    if (row.told) {
      const line = element('tr', undefined, { class: 'told' });
      line.append(element('td', row.told, { colspan: '4' }));
      return line;
    }
    const line = element('tr', undefined, { 'data-offset': row.offset ?? '', 'data-recovered': String(Boolean(row.recovered)) });
    const info = row.publication.info;
    const [time, fraction] = clock(row.time, true);
    const cell = element('td', time);
    cell.append(element('span', fraction, { class: 'fraction' }));
    line.append(element('td', row.offset === undefined ? '–' : String(row.offset)),
      element('td', JSON.stringify(row.publication.data)),
      element('td', info ? info.user || info.client.slice(0, 8) : 'API', info ? { title: info.client } : {}), cell);
    return line;
  }
}

const watches = new Map();
let link;
let attempt = 0;
let retry;

function showState(state, detail) {
  const node = byId('connection-state');
  node.dataset.state = state;
  setText(node, detail || state);
  byId('drop').disabled = state !== 'connected' || drill.phase === 'away';
  byId('connect-again').hidden = state !== 'closed';
}

function connect() {
  clearTimeout(retry);
  showState('connecting');
  link = new Link({
    open(result) {
      attempt = 0;
      byId('banner').hidden = true;
      setText(byId('client-id'), result.client.slice(0, 8));
      byId('client-id').title = result.client;
      byId('client-id').dataset.client = result.client;
      setText(byId('ping'), result.ping ? `${result.ping} s` : 'off');
      setText(byId('server-version'), result.version || '–');
      showState('connected');
      report(`Connected as ${result.client}.`);
      for (const watch of watches.values()) watch.subscribe();
      measureRoundTrip();
    },
    push(push) {
      const watch = watches.get(push.channel);
      if (!watch) return;
      if (push.pub) watch.accept(push.pub, false);
      if (push.unsubscribe) unsubscribed(watch, push.unsubscribe);
    },
    closed(code, reason) {
      for (const watch of watches.values()) watch.turn('waiting');
      const text = `Connection closed: ${words(code, reason)}`;
      report(text, 'bad');
      setText(byId('banner'), terminal(code) || code < 1000 ? `${text}. The page does not try again by itself.` : `${text}. Trying again.`);
      byId('banner').hidden = false;
      if (terminal(code) || (code < 1000 && code !== 109 && code !== 100)) return showState('closed');
      showState('waiting', 'reconnecting');
      retry = setTimeout(connect, backoff(attempt++));
    },
  });
}

function unsubscribed(watch, { code = 0, reason }) {
  report(`${watch.name}: ${words(code, reason)}`, 'bad');
  if (code >= 2500) return watch.subscribe();
  watch.turn('closed', `unsubscribed: ${words(code, reason)}`);
}

function watchChannel(name) {
  if (!name || watches.has(name)) return;
  const watch = new Watch(name);
  watches.set(name, watch);
  byId('channel-list').append(watch.card);
  watch.turn('waiting');
  watch.subscribe();
}

function leave(watch) {
  watch.automatic(false);
  watches.delete(watch.name);
  watch.card.remove();
  drill.without(watch);
  if (link && link.ready) link.request('unsubscribe', { channel: watch.name }, () => {});
  byId('subscribe-channel').focus();
}

// The drill: away for three seconds while a second connection publishes, then back with recovery.
const drill = {
  phase: 'idle',
  parts: new Map(), // watch → {from: its last offset, sent: publications made meanwhile, result}
  turn(phase) {
    this.phase = phase;
    byId('drill').dataset.phase = phase;
    byId('drill-progress').hidden = phase !== 'away';
  },
  start() {
    this.parts = new Map();
    for (const watch of watches.values()) {
      if (watch.state === 'subscribed' && watch.positioned) this.parts.set(watch, { from: watch.offset, sent: 0 });
    }
    link.close();
    link = undefined;
    this.turn('away');
    for (const watch of watches.values()) watch.turn('away', 'away');
    showState('away', 'away');
    report('Connection dropped on purpose. A second connection publishes meanwhile.');
    this.publishElsewhere();
    const began = performance.now();
    const timer = setInterval(() => {
      const away = performance.now() - began;
      const sent = [...this.parts.values()].reduce((sum, part) => sum + part.sent, 0);
      byId('drill-progress').value = Math.min(away, AWAY_MS);
      setText(byId('drill-text'), `The socket is closed: this page hears nothing. The second connection has published ${sent} so far.`);
      if (away < AWAY_MS) return;
      clearInterval(timer);
      this.comeBack();
    }, 50);
  },
  publishElsewhere() {
    let round = 0;
    const other = new Link({
      open: () => { this.ticker = setInterval(step, AWAY_MS / (AWAY_PUBLICATIONS + 2)); },
      push() {},
      closed: (code, reason) => report(`The second connection: ${words(code, reason)}`, 'bad'),
    });
    this.other = other;
    const step = () => {
      if (++round > AWAY_PUBLICATIONS) return clearInterval(this.ticker);
      for (const [watch, part] of this.parts) {
        other.request('publish', { channel: watch.name, data: { 'while you were away': round } }, (error) => {
          if (!error) part.sent += 1;
        });
      }
    };
  },
  comeBack() {
    clearInterval(this.ticker);
    this.other.close();
    this.turn('returning');
    setText(byId('drill-text'), 'Back with the last epoch and offset of each channel.');
    if (this.parts.size === 0) this.finish();
    connect();
  },
  came(watch, result) {
    const part = this.phase === 'returning' && this.parts.get(watch);
    if (!part || part.result) return;
    part.result = result;
    this.finishWhenAll();
  },
  // A channel that was left, or refused, is not waited for.
  without(watch) {
    if (this.parts.delete(watch)) this.finishWhenAll();
  },
  finishWhenAll() {
    if (this.phase === 'returning' && [...this.parts.values()].every((each) => each.result)) this.finish();
  },
  finish() {
    const lines = [...this.parts].map(([watch, part]) => this.judge(watch, part));
    const good = lines.every((line) => line.good);
    this.turn(good ? 'done' : 'lost');
    setText(byId('drill-text'), 'What the page found when it came back:');
    if (lines.length === 0) lines.push({ good: true, text: 'No channel with history was being watched: there was nothing to recover.' });
    byId('drill-verdict').replaceChildren(...lines.map((line) => element('p', line.text, { 'data-good': String(line.good) })));
    for (const line of lines) report(line.text, line.good ? 'info' : 'bad');
    showState(byId('connection-state').dataset.state);
  },
  judge(watch, { from, sent, result }) {
    if (result.told) {
      const what = result.newEpoch ? 'the server began a new epoch' : 'the log no longer held them';
      const count = result.newEpoch ? `${sent}` : `${result.offset - from}`;
      return { good: false, text: `${watch.name}: missed ${count}, recovered 0: ${what}, and the server said so. Going on after offset ${result.offset}.` };
    }
    const offsets = result.publications.map((publication) => publication.offset);
    let gaps = 0;
    let duplicates = 0;
    let last = from;
    for (const offset of offsets) {
      if (offset <= last) duplicates += 1;
      else gaps += offset - last - 1;
      last = Math.max(last, offset);
    }
    const missed = Math.max(sent, last - from);
    const good = gaps === 0 && duplicates === 0 && offsets.length === missed;
    const range = offsets.length ? ` (offsets ${offsets[0]} to ${last})` : '';
    return { good, text: `${watch.name}: missed ${missed}, recovered ${offsets.length}, ${gaps || 'no'} gap, ${duplicates || 'no'} duplicate${range}` };
  },
};

// The cheapest command with an answer: an unsubscribe from a channel that is not subscribed.
function measureRoundTrip() {
  if (!link || !link.ready) return setText(byId('round-trip'), '–');
  const began = performance.now();
  link.request('unsubscribe', { channel: ROUND_TRIP_CHANNEL }, () => setText(byId('round-trip'), `${(performance.now() - began).toFixed(1)} ms`));
}

function hashChannel() {
  try { return decodeURIComponent(location.hash.slice(1)); } catch { return location.hash.slice(1); }
}

byId('subscribe-form').onsubmit = (event) => {
  event.preventDefault();
  watchChannel(byId('subscribe-channel').value.trim());
  byId('subscribe-channel').value = '';
};
byId('drop').onclick = () => drill.start();
byId('connect-again').onclick = () => connect();
document.querySelector('.skip').onclick = (event) => {
  event.preventDefault(); // the hash names a channel
  byId('channels').focus();
};
addEventListener('hashchange', () => watchChannel(hashChannel()));

setInterval(() => rate.tick(), 1000);
setInterval(() => { for (const watch of watches.values()) watch.draw(); }, 100);
setInterval(measureRoundTrip, 2000);
setInterval(() => metrics.poll(), 1000);
metrics.poll();
watchChannel(hashChannel() || 'demo');
connect();
