// docs/api/sysctls.md, made of the table in src/host/sysctls.ts. `node dist/test/host/sysctl-table.js --write`
// (after a build) writes it; sysctls.test.ts holds it against the table.

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DEFAULT_CONFIG, Host } from '../../src/host/index.ts';
import { seededEntropy } from '../tcp/peer.ts';

export const SYSCTLS_FILE: string = fileURLToPath(new URL('../../../docs/api/sysctls.md', import.meta.url));

/** The whole document. */
export function sysctlsDocument(): string {
  const { all } = new Host({ entropy: seededEntropy(1) }).sysctls;
  const row = ({ name, keys, unit, linux, range, why, read }: (typeof all)[number]): string => {
    const ours = read(DEFAULT_CONFIG);
    const cells = [
      `net.${name}`,
      keys.map(key => `\`${key}\``).join(', ') || '–',
      unit,
      range,
      shown(ours),
      shown(linux),
      why,
    ];
    return `| ${cells.join(' | ')} |`;
  };
  return `${HEAD}${all.map(row).join('\n')}\n${TAIL}`;
}

function shown(value: string): string {
  return value.replaceAll('\t', ' ');
}

const HEAD = `# Sysctls

What scripts set for Linux's TCP and MPTCP, for a [host](core.md) of \`mptcp/core\`: \`host.sysctls.set(name, value)\` and
\`host.sysctls.value(name)\`, with the names of \`sysctl(8)\`, the \`net.\` left out or not. Values are Linux's, in its units, as
text or numbers. A setting counts for connections and listeners to come, and for what listeners accept from then on; connections
that run stay as they are. A name that is not here is ENOENT, a value out of range EINVAL, with a sentence that says which are not.

Generated from \`src/host/sysctls.ts\`: change that, build, and run \`node dist/test/host/sysctl-table.js --write\`.

| name | setting | unit | range | default | Linux's | |
|---|---|---|---|---|---|---|
`;

const TAIL = `
Linux's \`tcp_challenge_ack_limit\` and \`tcp_invalid_ratelimit\` are limits of a host and of time; ours are of each connection
(\`challengeAcksPerSecond\`). \`tcp_retries1\`, \`tcp_orphan_retries\`, \`tcp_mtu_probing\`, \`tcp_base_mss\`, \`tcp_tw_reuse\`,
and \`net.mptcp.stale_loss_cnt\` have no counterpart: a path is suspected after the time that its round trip explains.
`;

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv.includes('--write')) {
  writeFileSync(SYSCTLS_FILE, sysctlsDocument());
}
