// Runs packet scripts against the core: `node dist/test/conformance/scripts/run.js [--ip 4|6] [-D NAME=VALUE]… [--ours] FILE…`.
// The host is configured as Linux is (LINUX_CONFIG), with --ours as a host of ours is.
// A line a file: pass, FAIL with the first difference, or skip with what the reader does not know; then the sums.

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { LINUX_CONFIG } from '../../../src/host/index.ts';
import { parseScript } from './parse.ts';
import { runScript } from './run-script.ts';
import { Unsupported } from './script.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ip: { type: 'string' },
    define: { type: 'string', short: 'D', multiple: true },
    quiet: { type: 'boolean' },
    ours: { type: 'boolean' },
  },
});
const defines: Map<string, string> = new Map([
  ['CMSG_LEVEL_IP', 'SOL_IP'],
  ['TFO_COOKIE', '3021b9d889017eeb'],
  ...(values.define ?? []).map(text => text.split('=', 2) as [string, string]),
]);
const sums = { pass: 0, fail: 0, skip: 0 };
for (const file of positionals) {
  const { verdict, text } = judge(file);
  sums[verdict]++;
  if (!values.quiet || verdict !== 'pass') {
    console.log(
      `${verdict === 'fail' ? 'FAIL' : verdict} ${basename(file)}${text === '' ? '' : `: ${text}`}`,
    );
  }
}
console.log(`${sums.pass} passed, ${sums.fail} failed, ${sums.skip} skipped`);
process.exitCode = sums.fail > 0 ? 1 : 0;

function judge(file: string): { verdict: 'pass' | 'fail' | 'skip'; text: string } {
  try {
    const script = parseScript(basename(file), readFileSync(file, 'utf8'), defines);
    const stated =
      /^ipv([46])$/.exec(script.settings.get('ip_version') ?? '')?.[1] ?? /_v([46])\.pkt$/.exec(file)?.[1];
    const ipVersion = (values.ip ?? stated ?? '4') === '6' ? 6 : 4;
    const difference = runScript(script, { ipVersion, config: values.ours ? {} : LINUX_CONFIG });
    return difference === null ? { verdict: 'pass', text: '' } : { verdict: 'fail', text: difference };
  } catch (error) {
    if (error instanceof Unsupported) return { verdict: 'skip', text: error.message };
    return { verdict: 'fail', text: (error as Error).stack ?? String(error) };
  }
}
