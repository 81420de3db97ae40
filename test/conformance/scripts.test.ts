// Packet scripts of our own, in the language that Linux's TCP and MPTCP are tested in (scripts/): each is played
// against a host in virtual time, over IPv4 and over IPv6; those called linux-… with what LINUX_CONFIG changes. That the player notices what is wrong is tested, too.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LINUX_CONFIG } from '../../src/host/index.ts';
import { parseScript } from './scripts/parse.ts';
import { runScript } from './scripts/run-script.ts';
import { Unsupported } from './scripts/script.ts';

const folder = fileURLToPath(new URL('../../../test/conformance/scripts/own', import.meta.url));
const files = readdirSync(folder).filter(file => file.endsWith('.pkt'));

for (const file of files) {
  const script = parseScript(file, readFileSync(join(folder, file), 'utf8'), new Map());
  const only = script.settings.get('ip_version');
  for (const ipVersion of [4, 6] as const) {
    if (only !== undefined && only !== `ipv${ipVersion}`) continue;
    test(`${file.replace('.pkt', '')}, IPv${ipVersion}`, () => {
      const config = file.startsWith('linux-') ? LINUX_CONFIG : {};
      assert.equal(runScript(script, { ipVersion, config }), null);
    });
  }
}

/** What the player says of a listener and these lines. */
function played(lines: string): string | null {
  const text = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 5) = 0\n${lines}`;
  return runScript(parseScript('inline', text, new Map()), { ipVersion: 4 });
}
const SYN = '+0 < S 0:0(0) win 64000 <mss 1000, nop, wscale 7>\n';
const ANSWERED = `${SYN}+0 > S. 0:0(0) ack 1 <...>\n+0 < . 1:1(0) ack 1 win 500\n+0 accept(3, ..., ...) = 4\n`;

for (const [what, lines, says] of [
  ['a wrong flag', `${SYN}+0 > S 0:0(0) ack 1 <...>`, /flags are S\., not S/],
  ['a wrong option', `${SYN}+0 > S. 0:0(0) ack 1 <mss 1400, nop, wscale 8>`, /mss is 1460, not 1400/],
  ['options in another order', `${SYN}+0 > S. 0:0(0) ack 1 <nop, wscale 8, mss 1460>`, /option 2 where nop/],
  ['an option too many', `${SYN}+0 > S. 0:0(0) ack 1 <mss 1460>`, /there are 3 options, not 1/],
  ['a packet too late', `${SYN}+0 > S. 0:0(0) ack 1 <...>\n+.5 > S. 0:0(0) ack 1 <...>`, /no packet until/],
  ['a packet too early', `${SYN}+.5 > S. 0:0(0) ack 1 <...>`, /sent at 0 ms, not 500/],
  ['a wrong octet', `${SYN}+0 > [tos 0x10] S. 0:0(0) ack 1 <...>`, /TOS is 0, not 16/],
  ['a wrong time to live', `${SYN}+0 > [ttl 3] S. 0:0(0) ack 1 <...>`, /TTL is 64, not 3/],
  ['a wrong counter', "+0 `test $(nstat -zjs | jq '.kernel.TcpPassiveOpens') -eq 1`", /is 0, not 1/],
  ['a counter that is not there', "+0 `test $(nstat | jq '.kernel.Quux') -eq 1`", /is undefined, not 1/],
  ['a number out of bounds', `${ANSWERED}+0 %{ assert 11 <= tcpi_snd_cwnd <= 12 }%`, /tcpi_snd_cwnd is 10/],
  ['a wrong result', '+0 accept(3, ..., ...) = -1 EINVAL', /has not returned/],
  ['a wrong error', '+0 listen(3, 5) = -1 EINVAL', /it returned 0/],
] as const) {
  test(`the player notices ${what}`, () => assert.match(played(lines) ?? '', says));
}

test('what the reader does not know it names, with the line', () => {
  assert.throws(() => played('+0 frobnicate(3) = 0'), Unsupported);
  assert.throws(() => played('+0 < X 0:0(0)'), /line 4: cannot read the packet/);
  assert.throws(() => played(`${SYN}+0 > S. 0:0(0) ack 1 <quux 3>`), /line 5: unknown option 'quux 3'/);
});
