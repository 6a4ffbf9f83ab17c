// SPDX-License-Identifier: Apache-2.0
//
// The ledger's page, on the bare protocol: link.js, dom.js and style.css are those of the server's
// own page. It checks what it is told: offsets of both channels, heights and hashes of the blocks,
// and that progress never goes backwards.
import { byId, clock, element, number, setText } from './dom.js';
import { Link, terminal, words } from './link.js';

const AWAY_MS = 2000;
const ROWS_KEPT = 40;
const RATE_WINDOW_MS = 2000;

// A user of this browser's: other tabs follow his rescans.
const user = localStorage.getItem('user') || `visitor-${crypto.randomUUID().slice(0, 8)}`;
localStorage.setItem('user', user);

function report(text, level = 'info') {
  const item = element('li', undefined, { 'data-level': level });
  item.append(element('time', clock(new Date())), element('span', text));
  byId('events').prepend(item);
  while (byId('events').children.length > 40) byId('events').lastChild.remove();
}

// What has come of one channel, and what should have.
class Stream {
  constructor() {
    Object.assign(this, { epoch: undefined, offset: undefined, received: 0, recovered: 0, gaps: 0, duplicates: 0, lost: 0 });
  }

  position() {
    return this.epoch === undefined ? {} : { recover: true, epoch: this.epoch, offset: this.offset };
  }

  // A subscription began or was resumed; `take` is called with what was missed.
  begin(result, take) {
    if (result.was_recovering && !result.recovered) this.lost += 1;
    if (this.offset === undefined || (result.was_recovering && !result.recovered)) this.offset = result.offset || 0;
    this.epoch = result.epoch;
    for (const publication of result.publications || []) {
      this.recovered += 1;
      this.accept(publication, take, true);
    }
  }

  accept(publication, take, recovered) {
    this.received += 1;
    if (publication.offset <= this.offset) {
      this.duplicates += 1;
      return;
    }
    this.gaps += publication.offset - this.offset - 1;
    this.offset = publication.offset;
    take(publication.data, recovered);
  }

  show(node) {
    for (const name of ['received', 'recovered', 'gaps', 'duplicates', 'lost']) node.dataset[name] = this[name];
  }

  words() {
    return `${number(this.received)} received, ${number(this.recovered)} of them recovered, `
      + `${this.gaps || 'no'} gap, ${this.duplicates || 'no'} duplicate${this.lost ? ', more was lost than the log holds' : ''}`;
  }
}

const blocks = {
  stream: new Stream(),
  broken: 0,
  last: undefined,
  arrivals: [],
  counts: { rescan: { blocks: 0, ms: 0 }, idle: { blocks: 0, ms: 0 } },

  take(block, recovered) {
    if (this.last && (block.height !== this.last.height + 1 || block.previous !== this.last.hash)) this.broken += 1;
    this.last = block;
    // The rate is that of live ones: what was missed comes at once.
    if (!recovered) {
      this.arrivals.push(performance.now());
      this.counts[job.runs() ? 'rescan' : 'idle'].blocks += 1;
    }
    const row = element('tr', undefined, { 'data-recovered': String(recovered === true) });
    row.append(element('td', number(block.height)), element('td', block.hash),
      element('td', recovered ? 'recovered' : clock(new Date(), true).join('')));
    byId('block-rows').prepend(row);
    while (byId('block-rows').children.length > ROWS_KEPT) byId('block-rows').lastChild.remove();
    this.show();
  },

  show() {
    const node = byId('blocks');
    this.stream.show(node);
    node.dataset.broken = this.broken;
    node.dataset.height = this.last ? this.last.height : 0;
    node.dataset.verdict = this.stream.gaps || this.stream.duplicates || this.stream.lost || this.broken ? 'bad' : 'good';
    setText(node, `${this.stream.words()}, ${this.broken || 'no'} break of the chain`);
  },

  // Blocks a second now, and on average while a rescan ran and while none did.
  tick(ms) {
    if (link && link.ready) this.counts[job.runs() ? 'rescan' : 'idle'].ms += ms;
    const now = performance.now();
    while (this.arrivals.length && this.arrivals[0] < now - RATE_WINDOW_MS) this.arrivals.shift();
    setText(byId('rate-now'), (this.arrivals.length / (RATE_WINDOW_MS / 1000)).toFixed(1));
    for (const [name, count] of Object.entries(this.counts)) {
      if (count.ms >= 1000) setText(byId(`rate-${name}`), (count.blocks / (count.ms / 1000)).toFixed(1));
    }
  },
};

// The newest rescan: of this page, or of another tab of the same user's.
const job = {
  id: undefined,
  stream: undefined,
  state: 'none',
  height: 0,
  backwards: 0,

  runs() { return this.state === 'running'; },
  channel() { return `job:${this.id}`; },

  adopt(id) {
    if (this.id === id) return;
    Object.assign(this, { id, stream: new Stream(), state: 'running', height: 0, backwards: 0 });
    byId('progress').value = 0;
    this.show('the server reads');
  },

  take(message) {
    if (message.progress) return this.progress(message.progress);
    if (message.result) return this.end('done', `found ${number(message.result.found)} transactions up to block ${number(message.result.height)}: balance ${number(message.result.balance)}`);
    this.end(message.error.code === 120 ? 'cancelled' : 'failed', words(message.error.code, message.error.message));
  },

  progress({ height, of, found }) {
    if (height <= this.height) this.backwards += 1;
    this.height = height;
    byId('progress').max = of;
    byId('progress').value = height;
    this.show(`block ${number(height)} of ${number(of)}, ${number(found)} transactions of the account`);
  },

  end(state, text) {
    if (!this.runs()) this.backwards += 1; // an end after the end
    this.state = state;
    if (state === 'cancelled') byId('from').value = this.height + 1;
    report(`Rescan ${state}: ${text}.`, state === 'failed' ? 'bad' : 'info');
    this.show(text);
  },

  show(text) {
    const node = byId('job');
    this.stream.show(node);
    Object.assign(node.dataset, { state: this.state, backwards: this.backwards, height: this.height });
    setText(byId('job-text'), text);
    byId('job-verdict').dataset.verdict = this.stream.gaps || this.stream.duplicates || this.stream.lost || this.backwards ? 'bad' : 'good';
    setText(byId('job-verdict'), this.stream.words());
    buttons();
  },

  // Another tab's, or what this page began before it was loaded again: from its beginning on.
  follow(id) {
    if (this.id === id) return;
    this.adopt(id);
    report('Following a rescan that runs already.');
    this.stream.offset = 0;
    link.request('subscribe', { channel: this.channel(), recover: true, epoch: '', offset: 0 }, (error, result) => {
      if (error) return this.end('failed', words(error.code, error.message));
      this.stream.begin(result, (data) => this.take(data));
    });
  },
};

let link;
let attempt = 0;
let away = false;

function showState(state, text = state) {
  byId('connection-state').dataset.state = state;
  setText(byId('connection-state'), text);
  buttons();
}

function buttons() {
  const ready = Boolean(link && link.ready);
  byId('drop').disabled = !ready;
  byId('start').disabled = !ready || job.runs();
  byId('cancel').disabled = !ready || !job.runs();
}

function opened(result) {
  attempt = 0;
  showState('connected');
  report(away ? 'Back, with the last position of each channel.' : `Connected as ${user}.`);
  away = false;
  if (job.runs()) {
    const resumed = result.subs && result.subs[job.channel()];
    if (resumed) job.stream.begin(resumed, (data) => job.take(data));
    else job.end('failed', 'the server does not know it any more');
  }
  link.request('subscribe', { channel: 'blocks', ...blocks.stream.position() }, (error, subscribed) => {
    if (error) return report(`blocks: ${words(error.code, error.message)}`, 'bad');
    const before = blocks.stream.recovered;
    blocks.stream.begin(subscribed, (data) => blocks.take(data, true));
    if (subscribed.was_recovering) report(`${blocks.stream.recovered - before} blocks were recovered.`);
    blocks.show();
  });
  link.request('rpc', { method: 'job.list', data: {} }, (error, answer) => {
    const running = error ? undefined : answer.data.jobs.find((each) => each.method === 'rescan');
    if (running && !job.runs()) job.follow(running.job);
  });
}

function pushed({ channel, pub, subscribe, unsubscribe }) {
  if (channel === 'blocks' && pub) blocks.stream.accept(pub, (data) => blocks.take(data));
  if (channel === 'blocks' && unsubscribe) report(`blocks: ${words(unsubscribe.code, unsubscribe.reason)}`, 'bad');
  if (!channel.startsWith('job:')) return;
  if (subscribe) {
    job.adopt(channel.slice(4));
    job.stream.begin(subscribe, (data) => job.take(data));
  }
  if (pub && channel === job.channel()) job.stream.accept(pub, (data) => job.take(data));
}

function connect() {
  showState('connecting');
  const subs = job.runs() ? { [job.channel()]: job.stream.position() } : {};
  link = new Link({
    open: opened,
    push: pushed,
    closed(code, reason) {
      report(`Connection closed: ${words(code, reason)}`, 'bad');
      if (terminal(code) || code < 1000) return showState('closed');
      showState('waiting', 'reconnecting');
      setTimeout(connect, Math.random() * Math.min(20000, 500 * 2 ** attempt++));
    },
  }, { data: { user }, subs });
}

byId('drop').onclick = () => {
  away = true;
  link.close();
  showState('away');
  report('Connection dropped on purpose: this page hears nothing for 2 s.');
  setTimeout(connect, AWAY_MS);
};

byId('rescan-form').onsubmit = (event) => {
  event.preventDefault();
  const value = (id) => Number(byId(id).value);
  const data = { account: value('account'), from: value('from'), rate: value('rate') };
  link.request('rpc', { method: 'rescan', data }, (error, answer) => {
    if (error) return report(`Rescan: ${words(error.code, error.message)}`, 'bad');
    report(`Rescan of account ${data.account} from block ${number(data.from)} on.`);
    job.adopt(answer.data.job);
  });
};

byId('cancel').onclick = () => {
  link.request('rpc', { method: 'job.cancel', data: { job: job.id } }, (error) => {
    if (error) report(`Cancel: ${words(error.code, error.message)}`, 'bad');
  });
};

// The fast command, once a second, whatever else is going on.
function askBalance() {
  if (!link || !link.ready) return setText(byId('round-trip'), '–');
  const began = performance.now();
  link.request('rpc', { method: 'balance', data: { account: Number(byId('account').value) } }, (error, answer) => {
    const text = error ? words(error.code, error.message) : number(answer.data.balance);
    setText(byId('round-trip'), `${(performance.now() - began).toFixed(1)} ms: ${text}`);
  });
}

setText(byId('user'), user);
setInterval(() => blocks.tick(200), 200);
setInterval(askBalance, 1000);
connect();
