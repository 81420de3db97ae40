// The path manager's messages: against bytes written by hand from linux/genetlink.h and linux/mptcp_pm.h, and events.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NATIVE_LITTLE } from '../../src/kernel/info.ts';
import {
  decodeAttributes,
  decodeMessages,
  encodeAttributes,
  encodeMessage,
  type NetlinkMessage,
  u8,
  u16,
  u32,
} from '../../src/kernel/netlink.ts';
import { refusalOf } from '../../src/kernel/netlink-socket.ts';
import { decodeEvent } from '../../src/kernel/path-event.ts';
import { decodeEndpoint, encodeCommand, encodeEndpoint } from '../../src/kernel/path-manager.ts';

const skip: string | false = !NATIVE_LITTLE && 'the bytes are those of a little-endian machine';

test('a command: generic netlink header, the address as a nested attribute', { skip }, () => {
  const payload = encodeCommand(1, 1, [
    [
      1,
      encodeEndpoint({
        address: '10.0.0.1',
        id: 7,
        port: 443,
        subflow: true,
        backup: true,
        interfaceIndex: 3,
      }),
    ],
  ]);
  assert.equal(
    hex(payload),
    [
      '01010000', // ADD_ADDR, version 1
      '3400' + '0180', // MPTCP_PM_ATTR_ADDR, nested
      '0600' + '0100' + '0200' + '0000', // family AF_INET
      '0500' + '0200' + '07' + '000000', // id
      '0800' + '0300' + '0a000001', // address
      '0600' + '0500' + 'bb01' + '0000', // port, in the machine's order
      '0800' + '0600' + '06000000', // flags: subflow 2, backup 4
      '0800' + '0700' + '03000000', // interface
    ].join(''),
  );
});

test('an endpoint comes out as it went in, IPv6 too; what is no address throws', () => {
  const plain = { port: 0, interfaceIndex: 0, signal: false, subflow: false, backup: false, implicit: false };
  for (const endpoint of [
    { ...plain, id: 1, address: '192.0.2.1', fullmesh: true, subflow: true },
    { ...plain, id: 255, address: '2001:db8::9', fullmesh: false, signal: true, port: 65_535 },
    { ...plain, id: 0, address: '0.0.0.0', fullmesh: false, backup: true, interfaceIndex: 70_000 },
  ]) {
    assert.deepEqual(decodeEndpoint(encodeAttributes(encodeEndpoint(endpoint))), endpoint);
  }
  assert.equal(decodeEndpoint(undefined), undefined);
  assert.equal(decodeEndpoint(encodeAttributes([[3, u16(1)]])), undefined);
  for (const address of ['', 'localhost', '10.0.0', '10.0.0.1%eth0']) {
    assert.throws(() => encodeEndpoint({ address }), { code: 'EINVAL' }, address);
  }
});

test('messages and attributes: several in one datagram, padded to 4 bytes', { skip }, () => {
  const attributes = encodeAttributes([
    [1, u8(5)],
    [2, [[3, u32(6)]]],
  ]);
  assert.equal(hex(attributes), '0500010005000000' + '0c000280' + '0800030006000000');
  const message = { type: 20, flags: 0x301, sequence: 9, payload: attributes.subarray(0, 5) };
  const bytes = encodeMessage(message);
  assert.equal(hex(bytes), '15000000' + '14000103' + '09000000' + '00000000' + '0500010005');
  const both = new Uint8Array(24 + bytes.length);
  both.set(bytes);
  both.set(bytes, 24);
  assert.deepEqual(decodeMessages(both), [message, message]);
});

test('bytes that make no sense give nothing, and never an exception', () => {
  let state = 1;
  for (let i = 0; i < 5000; i++) {
    const garbage = new Uint8Array(i % 90);
    for (let at = 0; at < garbage.length; at++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      // Small numbers are plausible lengths.
      garbage[at] = (state >>> 16) % (i % 2 === 0 ? 256 : 24);
    }
    for (const { payload } of decodeMessages(garbage)) decodeAttributes(payload);
    decodeEvent(i % 20, decodeAttributes(garbage));
    decodeEndpoint(garbage);
  }
  // A length of 0 would never end.
  assert.deepEqual(decodeMessages(new Uint8Array(64)), []);
  assert.equal(decodeAttributes(new Uint8Array(64)).size, 0);
});

test('an acknowledgement, a refusal, and a refusal in words', { skip }, () => {
  const error = (parts: string, flags = 0): NetlinkMessage => ({
    ...{ type: 2, flags, sequence: 1 },
    payload: new Uint8Array(Buffer.from(parts, 'hex')),
  });
  const question = '10000000' + '00000000' + '01000000' + '00000000';
  assert.equal(refusalOf(error('00000000' + question)), undefined);
  const plain = refusalOf(error('ffffffff' + question)) as NodeJS.ErrnoException;
  assert.deepEqual([plain.code, plain.message], ['EPERM', 'netlink EPERM']);
  // NLM_F_ACK_TLVS | NLM_F_CAPPED; NLMSGERR_ATTR_MSG (1): "no\0"
  const words = refusalOf(error('eaffffff' + question + '07000100' + '6e6f0000', 0x300));
  assert.deepEqual([(words as NodeJS.ErrnoException).code, words?.message], ['EINVAL', 'EINVAL: no']);
});

test('events, with what they carry and nothing else', () => {
  const established = encodeAttributes([
    [1, u32(0xdeadbeef)],
    [2, u16(2)],
    [3, u8(4)],
    [4, u8(0)],
    [5, Uint8Array.of(10, 0, 0, 1)],
    [7, Uint8Array.of(10, 0, 0, 2)],
    // Ports are in the order of the network.
    [9, Uint8Array.of(0x12, 0x34)],
    [10, Uint8Array.of(0x1b, 0x58)],
    [11, u8(1)],
    [15, u32(2)],
  ]);
  assert.deepEqual(decodeEvent(10, decodeAttributes(established)), {
    ...{
      name: 'subflow-established',
      token: 0xdeadbeef,
      localId: 4,
      remoteId: 0,
      backup: true,
      interfaceIndex: 2,
    },
    local: { address: '10.0.0.1', port: 0x1234 },
    remote: { address: '10.0.0.2', port: 7000 },
  });
  const closed = encodeAttributes([[1, u32(1)]]);
  assert.deepEqual(decodeEvent(3, decodeAttributes(closed)), { name: 'closed', token: 1 });
  assert.equal(decodeEvent(99, decodeAttributes(closed)), undefined);
});

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
