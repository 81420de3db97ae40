// docs/RFC8684.md, made from the rules and the tests that name them:
// `node dist/test/conformance/rules-table.js --write` writes the file; without `--write` it prints it.

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Proof, proofs } from './proofs.ts';
import type { Level, Rule } from './rule.ts';
import { RULES } from './rules.ts';
import { SCENARIOS } from './scenarios.ts';
import { renderScenarios } from './scenarios-table.ts';

export const DOCUMENT: string = fileURLToPath(new URL('../../../docs/RFC8684.md', import.meta.url));

/** What is wrong with rules and tests together. */
export function complaints(rules: readonly Rule[], tests: readonly Proof[]): string[] {
  const wrong: string[] = [];
  const known = new Set<string>();
  for (const { id } of rules) {
    if (!ID.test(id)) wrong.push(`${id}: not an id`);
    if (known.has(id)) wrong.push(`${id}: there twice`);
    if (topicOf(id) === undefined) wrong.push(`${id}: in no topic`);
    known.add(id);
  }
  for (const { file, ids, title } of tests) {
    for (const id of ids) if (!known.has(id)) wrong.push(`${file}: no rule ${id} ("${title}")`);
  }
  const proved = new Set(tests.flatMap(({ ids }) => ids));
  for (const { id, level, reason } of rules) {
    if (!proved.has(id) && reason === undefined) wrong.push(`${id} (${level}): neither a test nor a reason`);
  }
  return wrong;
}

export function render(rules: readonly Rule[], tests: readonly Proof[]): string {
  const lines = TOPICS.flatMap(([title, letters]) => {
    const rows = rules.filter(({ id }) => letters.includes(id.charAt(0)));
    return ['', `## ${title}`, '', ...COLUMNS, ...rows.map(rule => rowOf(rule, tests))];
  });
  return [
    ...INTRODUCTION,
    '',
    ...countsOf(rules, tests),
    ...lines,
    ...renderScenarios(SCENARIOS),
    ...APPENDIX_D,
    '',
  ].join('\n');
}

function rowOf(rule: Rule, tests: readonly Proof[]): string {
  const links = tests
    .filter(({ ids }) => ids.includes(rule.id))
    .map(({ file, title }) => `[${title.replace(/[[\]|]/g, '\\$&')}](../${file})`);
  const proof = rule.reason === undefined ? links : [`*${rule.reason}*`, ...links];
  const here = rule.here.replace(/\[([\w/-]+\.ts)\]/g, '[$1](../src/$1)');
  const level = rule.level === 'text' ? '' : rule.level;
  return `| ${rule.id} | ${level} | ${rule.section} | ${rule.asks} | ${here} | ${proof.join('<br>')} |`;
}

function countsOf(rules: readonly Rule[], tests: readonly Proof[]): string[] {
  const proved = new Set(tests.flatMap(({ ids }) => ids));
  const row = (level: Level): string => {
    const all = rules.filter(rule => rule.level === level);
    const tested = all.filter(({ id }) => proved.has(id));
    const plain = tested.filter(({ reason }) => reason === undefined).length;
    const numbers = [all.length, plain, tested.length - plain, all.length - tested.length];
    return `| ${level === 'text' ? 'without a key word' : level} | ${numbers.join(' | ')} |`;
  };
  return ['| | rules | tested | tested, with a remark | a reason only |', '|---|---|---|---|---|'].concat(
    LEVELS.map(row),
  );
}

function topicOf(id: string): string | undefined {
  return TOPICS.find(([, letters]) => letters.includes(id.charAt(0)))?.[0];
}

const ID = /^[A-Z]\d+[a-z]?$/;
const LEVELS: readonly Level[] = ['MUST', 'SHOULD', 'MAY', 'text'];
const TOPICS: readonly (readonly [string, string])[] = [
  ['General', 'G'],
  ['MP_CAPABLE', 'C'],
  ['MP_JOIN', 'J'],
  ['Mappings and acknowledgements', 'DK'],
  ['Closing', 'F'],
  ['Windows, retransmission, backup', 'WRP'],
  ['Addresses', 'AX'],
  ['Fast close, reset', 'ZS'],
  ['Fallback', 'BE'],
  ['Heuristics and the rest', 'HNVT'],
];
const COLUMNS: readonly string[] = [
  '| rule | level | § | asks for | here | proved by, or why not |',
  '|---|---|---|---|---|---|',
];
const INTRODUCTION: readonly string[] = [
  '# RFC 8684, rule by rule',
  '',
  'What of [RFC 8684](https://www.rfc-editor.org/rfc/rfc8684) this package does: every MUST, SHOULD and MAY of its text, and what',
  'it states without a key word where something depends on it. RECOMMENDED counts as SHOULD. The ids are of this project; a test',
  'that proves a rule has its id at the head of its title. This file is made by `node dist/test/conformance/rules-table.js',
  '--write` from those titles and from the rules, [test/conformance](../test/conformance/rules.ts); a test fails when it is out of',
  'date, when a rule has neither a test nor a reason in *italics*, and when a test names a rule that is not there.',
  '',
  'Linux is named where it does the same and the RFC would have it otherwise. Tests in `test/interop` run against the Linux',
  'kernel. A server advertises only what `advertise` names, a client nothing; servers open no subflows.',
];
const APPENDIX_D: readonly string[] = [
  '',
  '## Appendix D: the states of a connection',
  '',
  'The connection has no variable with the states of Appendix D: each of them is one combination of independent facts.',
  '',
  '| state of Appendix D | here |',
  '|---|---|',
  '| M_ESTABLISHED | no DATA_FIN sent or received |',
  '| M_CLOSE_WAIT | the DATA_FIN of the peer has its place and was acknowledged, ours is not wanted yet |',
  '| M_FIN_WAIT_1 | ours is sent (`dataFinDsn`) and not acknowledged, none received |',
  '| M_FIN_WAIT_2 | ours is acknowledged (`dataUna` beyond it), none received |',
  '| M_CLOSING | both are sent, ours is not acknowledged |',
  '| M_LAST_ACK | as M_CLOSING, the peer was first |',
  '| M_TIME_WAIT | the application is told that it is over; a join is answered with the last DATA_ACK and a FIN (`timeWaitMs`) |',
  '',
  'M_TIME_WAIT ends when the FIN of a subflow is acknowledged, for it carried that DATA_ACK, or after `closeTimeoutMs`.',
  '',
  'An end whose subflows are all lost while it waits for its last DATA_ACKs waits `closeTimeoutMs` for another (§3.3.3). Then it ends',
  'in order when the peer has finished and TCP has acknowledged every byte: that is what one subflow alone would have told it.',
  'Bytes that not even TCP has acknowledged may be lost: `ETIMEDOUT`.',
];

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = render(RULES, proofs());
  if (process.argv.includes('--write')) writeFileSync(DOCUMENT, text);
  else process.stdout.write(text);
}
