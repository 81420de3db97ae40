// Every rule has a test or a reason, every id that a test names is a rule, and docs/RFC8684.md is what the two
// come to.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { proofs, proofsIn } from './proofs.ts';
import type { Rule } from './rule.ts';
import { RULES } from './rules.ts';
import { complaints, DOCUMENT, render } from './rules-table.ts';
import { SCENARIOS } from './scenarios.ts';
import { scenarioComplaints } from './scenarios-table.ts';

test('every rule of RFC 8684 has a test or a reason, and tests name no other', () => {
  assert.deepEqual(complaints(RULES, proofs()), []);
});

test('every scenario has a test in both roles, and the tests that it names are there', () => {
  assert.deepEqual(scenarioComplaints(SCENARIOS), []);
});

test('a role without a test and the name of no test are complained about', () => {
  const find = (file: string) => (file === 'a/b' ? [{ file: 'test/a/b.test.ts', title: 'G1: a thing' }] : []);
  const scenario = { what: 'it', section: '1', client: ['a/b: a thing'] };
  assert.deepEqual(scenarioComplaints([{ ...scenario, server: ['a/b: thing'] }], find), []);
  assert.deepEqual(scenarioComplaints([scenario], find), ['it: no test as server']);
  assert.deepEqual(scenarioComplaints([{ ...scenario, both: ['a/c: a thing', 'a/b: nothing'] }], find), [
    'it: there is no test "a/c: a thing"',
    'it: there is no test "a/b: nothing"',
  ]);
});

test('docs/RFC8684.md is what rules and tests come to', () => {
  const made = render(RULES, proofs());
  assert.equal(
    readFileSync(DOCUMENT, 'utf8'),
    made,
    'run `node dist/test/conformance/rules-table.js --write` after a build',
  );
});

test('ids are read from the heads of titles', () => {
  const lines = [
    "test('C8a: one', () => {});",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the source of a test
    '  test(`C8a, J6d: the ${name} of it`, () => {});',
    "test(\n  'G1: it\\'s long',\n  () => {});",
    "test('RFC 8305 §4: none', () => {});",
    "test('C1–C3: a range is no list', () => {});",
  ];
  assert.deepEqual(
    proofsIn('f', lines.join('\n')).map(({ ids, title }) => [ids.join(' '), title]),
    [
      ['C8a', 'one'],
      ['C8a J6d', 'the … of it'],
      ['G1', "it's long"],
      ['C1–C3', 'a range is no list'],
    ],
  );
});

test('a MUST without test or reason, an unknown id and a rule there twice are complained about', () => {
  const rule = (id: string, reason?: string): Rule => ({
    id,
    level: 'MUST',
    section: '3',
    asks: 'a thing',
    here: 'done',
    ...(reason === undefined ? {} : { reason }),
  });
  const tests = [{ file: 'a.test.ts', ids: ['G1', 'G9'], title: 'title' }];
  assert.deepEqual(complaints([rule('G1'), rule('G2', 'not yet')], [{ ...tests[0], ids: ['G1'] }]), []);
  assert.deepEqual(complaints([rule('G1'), rule('G2'), rule('G1')], tests), [
    'G1: there twice',
    'a.test.ts: no rule G9 ("title")',
    'G2 (MUST): neither a test nor a reason',
  ]);
});
