import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { test } from 'node:test';
import { ERRORS, MptcpError } from '../../src/api/index.ts';

test('an error carries what the same error of node:net carries', async () => {
  const theirs = await new Promise<NodeJS.ErrnoException & { address?: string; port?: number }>(resolve => {
    createConnection({ host: '127.0.0.1', port: 1 }).on('error', resolve);
  });
  const ours = new MptcpError('ECONNREFUSED', { syscall: 'connect', address: '127.0.0.1', port: 1 });
  const { code, errno, syscall, address, port } = theirs;
  assert.equal(code, 'ECONNREFUSED');
  assert.deepEqual(
    [ours.code, ours.errno, ours.syscall, ours.address, ours.port],
    [code, errno, syscall, address, port],
  );
  assert.ok(ours.message.startsWith(theirs.message), ours.message);
  assert.ok(ours instanceof Error);
});

test('the message has sentence and remedy', () => {
  const error = new MptcpError('ETIMEDOUT', {
    ...{ syscall: 'connect', address: '::1', port: 9, sentence: 'no answer', remedy: 'try again' },
  });
  assert.equal(error.message, 'connect ETIMEDOUT ::1:9: no answer; try again');
});

test('what is wrong with an argument is a TypeError or a RangeError by name', () => {
  assert.equal(new MptcpError('ERR_INVALID_ARG_TYPE').name, 'TypeError');
  assert.equal(new MptcpError('ERR_SOCKET_BAD_PORT').name, 'RangeError');
  assert.equal(new MptcpError('ECONNRESET').name, 'Error');
});

test('a code of the system that is not in the table is carried all the same', () => {
  const error = new MptcpError('ENETDOWN', { syscall: 'read' });
  assert.equal(error.code, 'ENETDOWN');
  assert.ok((error.errno ?? 0) < 0);
  assert.equal(new MptcpError('toString').errno, undefined);
});

test('every entry of the table has a sentence', () => {
  for (const [code, { sentence }] of Object.entries(ERRORS)) {
    assert.match(new MptcpError(code).message, /\w+ \w+/, code);
    assert.ok(sentence.length > 5, code);
  }
});
