// SPDX-License-Identifier: Apache-2.0
import { byId, bytes, setText, short } from './dom.js';

// The server's own counters, summed over labels.
export const metrics = {
  async poll() {
    try {
      const answer = await fetch('metrics', { cache: 'no-store' });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      this.show(this.parse(await answer.text()), performance.now());
      setText(byId('metrics-state'), 'from /metrics, each second');
    } catch (error) {
      setText(byId('metrics-state'), `/metrics: ${error.message}`);
    }
  },
  parse(text) {
    const sums = new Map();
    for (const line of text.split('\n')) {
      const match = /^(trunkline_[a-z0-9_]+)(?:\{.*\})?\s+(\S+)/.exec(line);
      if (match) sums.set(match[1], (sums.get(match[1]) || 0) + Number(match[2]));
    }
    return sums;
  },
  show(sums, now) {
    const value = (name) => sums.get(`trunkline_${name}`);
    const put = (id, name, format) => {
      const amount = value(name);
      byId(id).dataset.value = amount ?? '';
      setText(byId(id), amount === undefined ? '–' : format(amount));
    };
    put('counter-connections', 'connections', short);
    put('counter-subscriptions', 'subscriptions', short);
    put('counter-channels', 'channels', short);
    put('counter-behind', 'cursors_behind', short);
    for (const [id, name, format] of [['publications', 'publications_total', short],
      ['deliveries', 'deliveries_total', short], ['bytes', 'sent_bytes_total', bytes]]) {
      put(`counter-${id}`, name, format);
      const before = this.before && this.before.sums.get(`trunkline_${name}`);
      if (before === undefined || value(name) === undefined) continue;
      const each = ((value(name) - before) * 1000) / (now - this.before.now);
      setText(byId(`rate-${id}`), `${format(Math.max(0, Math.round(each)))} a second`);
    }
    this.before = { sums, now };
  },
};
