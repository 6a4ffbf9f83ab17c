// SPDX-License-Identifier: Apache-2.0
//
// Elements and numbers as text. Whatever comes from a server becomes text, never markup.
export const byId = (id) => document.getElementById(id);
export const setText = (node, text) => { if (node.textContent !== text) node.textContent = text; };
export const number = (value) => new Intl.NumberFormat('en-GB').format(value);
export const short = (value) => new Intl.NumberFormat('en-GB',
  value < 1e5 ? { maximumFractionDigits: 0 } : { notation: 'compact', maximumFractionDigits: 1 }).format(value);
export function bytes(value) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const step = Math.min(units.length - 1, value < 1 ? 0 : Math.floor(Math.log10(value) / 3));
  return `${(value / 1000 ** step).toFixed(step === 0 ? 0 : 1)} ${units[step]}`;
}
export function clock(time, fraction) {
  const text = time.toLocaleTimeString('en-GB', { hour12: false });
  return fraction ? [text, `.${String(time.getMilliseconds()).padStart(3, '0')}`] : text;
}
export function element(tag, text, attributes = {}) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
export function rectangle(x, y, width, height, kind) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  for (const [name, value] of Object.entries({ x, y, width, height, class: kind })) node.setAttribute(name, value);
  return node;
}
