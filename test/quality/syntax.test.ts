// What counts as a branch and what may be changed: the measures of coverage.ts and mutation.ts are as good as this.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { branchesOf, mutantsOf, statementsOf } from './syntax.ts';

const mutated = (source: string): string[] =>
  mutantsOf(source).map(one => source.slice(0, one.start) + one.text + source.slice(one.end));

test('a statement is counted where it begins, a block and a function are not', () => {
  const source = 'function f(a) { if (a) { g(); } return a; }\nconst x = f;';
  const starts = statementsOf(source).map(start => source.slice(start, start + 5));
  assert.deepEqual(starts.sort(), ['const', 'g(); ', 'if (a', 'retur'].sort());
});

test('an if has two branches, the second by what was not taken when it is not written', () => {
  const source = 'if (a) b();';
  const [taken, not] = branchesOf(source);
  assert.deepEqual([taken.what, source.slice(taken.at)], ['if', 'b();']);
  assert.deepEqual([not.what, not.at, not.unless], ['else', 0, taken.at]);
  const [, written] = branchesOf('if (a) b(); else c();');
  assert.deepEqual([written.what, written.at, written.unless], ['else', 17, undefined]);
});

test('conditional expressions, the right side of logical ones and cases with a body are branches', () => {
  const whats = (source: string) => branchesOf(source).map(one => one.what);
  assert.deepEqual(whats('x = a ? b : c;'), ['?', ':']);
  assert.deepEqual(whats('x = a && b || c ?? d;'.replace(' ?? d', '')), ['||', '&&']);
  assert.deepEqual(whats('x = a ?? b;'), ['??']);
  assert.deepEqual(whats('switch (a) { case 1: case 2: b(); break; default: c(); }'), ['case', 'default']);
});

test('comparisons lose or win the border, equality and logic turn round', () => {
  assert.deepEqual(mutated('a < b;'), ['a <= b;']);
  assert.deepEqual(mutated('a >= (b);'), ['a > (b);']);
  assert.deepEqual(mutated('a === /* why */ b;'), ['a !== /* why */ b;']);
  assert.deepEqual(mutated('(a) && b;'), ['(a) || b;']);
  assert.deepEqual(mutated('a // < here\n  > b;'), ['a // < here\n  >= b;']);
});

test('small numbers and bits become one more, times and sizes are doubled, a step turns round', () => {
  assert.deepEqual(mutated('f(2, 40, 0x8000, 1000, 0.5);'), [
    'f(3, 40, 0x8000, 1000, 0.5);',
    'f(2, 41, 0x8000, 1000, 0.5);',
    'f(2, 40, 32769, 1000, 0.5);',
    'f(2, 40, 0x8000, 2000, 0.5);',
    'f(2, 40, 0x8000, 1000, 1);',
  ]);
  assert.deepEqual(mutated('n - 1;'), ['n + 1;']);
  assert.deepEqual(mutated('n + 2;'), ['n + 3;']);
});

test('what nobody could see is left alone', () => {
  for (const source of [
    'new Uint8Array(64);',
    'n.toString(16).padStart(4);',
    'throw new RangeError(limit(7));',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text of a program
    'f(`${3} bytes`);',
    'const SPARE_ENTRIES = 64;',
    'let found = -1;',
    'f(0);',
  ]) {
    assert.deepEqual(mutated(source), [], source);
  }
  assert.deepEqual(mutated('const LIMIT = 64;'), ['const LIMIT = 65;']);
  assert.deepEqual(mutated('const HOP_BY_HOP = 0;'), ['const HOP_BY_HOP = 1;']);
  assert.deepEqual(mutated('const State = { CLOSED: 0 };'), ['const State = { CLOSED: 1 };']);
});

test('a border at which both sides are the same is left alone, any other is not', () => {
  for (const source of [
    'if (end > this.most) this.most = end;',
    'if (this.a.b < least) { least = this.a.b; }',
    'x = a < b ? a : b;',
    'if (count > this.mask) this.grow();',
    'if (length < WORDS_FROM_BYTES) f();',
  ]) {
    assert.deepEqual(mutated(source), [], source);
  }
  for (const source of [
    'if (end > this.most) this.most = end + length;',
    'if (end > this.most) this.least = end;',
    'if (end > most) { most = end; f(); }',
    'if (end > most) most = end; else f();',
    'if (count >= this.size) this.grow();',
    'x = a < b ? a : c;',
    'if (a[i] > a[k]) a[k] = a[j];',
  ]) {
    assert.equal(mutated(source).length, 1, source);
  }
});
