// SPDX-License-Identifier: Apache-2.0
//
// Runs the end-to-end tests against a binary, one file after another:
//   node tests/e2e/run.mjs --binary PATH [--only TEXT] [--name TEXT]
// --only takes files whose name contains the text, --name tests by name. The last line is
// `N passed, N failed`; the exit status says the same.
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { binary: { type: 'string' }, only: { type: 'string' }, name: { type: 'string' } },
});
if (!values.binary) {
  console.error('run.mjs: --binary PATH is missing');
  process.exit(2);
}
process.env.E2E_BINARY = resolve(values.binary);

const folder = fileURLToPath(new URL('.', import.meta.url));
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.test.mjs') && name.includes(values.only ?? ''))
  .sort()
  .map((name) => join(folder, name));

let passed = 0;
let failed = 0;
// Suites are not tests: what failed in one is counted below it. A hook that fails is counted.
const counts = (data) => data.details?.type !== 'suite' && !data.skip && !data.todo;
const tests = run({ files, concurrency: 1, timeout: 180000, testNamePatterns: values.name });
tests.on('test:pass', (data) => { if (counts(data)) passed += 1; });
tests.on('test:fail', (data) => {
  if (counts(data) || data.details?.error?.failureType === 'hookFailed') failed += 1;
});
tests.compose(new spec()).on('end', () => {
  if (files.length === 0) failed += 1;
  process.stdout.write(`${passed} passed, ${failed} failed\n`, () => process.exit(failed === 0 && passed > 0 ? 0 : 1));
}).pipe(process.stdout);
