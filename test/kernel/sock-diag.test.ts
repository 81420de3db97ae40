// Socket diagnosis: requests, and what Linux 6.18 answered for one connection over loopback. What is expected is what
// `ss -Mnie` and `ss -tnie` printed of it at the same moment.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NATIVE_LITTLE } from '../../src/kernel/info.ts';
import {
  decodeInfo,
  decodeSocket,
  decodeSubflow,
  encodeLookup,
  encodeRequest,
} from '../../src/kernel/sock-diag.ts';

const skip: string | false = !NATIVE_LITTLE && 'the bytes are from a little-endian machine';
const CONNECTION: Uint8Array = bytes(
  '02010000dcbea9177f0000010000000000000000000000007f00000100000000000000000000000000000000b1000000' +
    '0000000000000000000000000000000000000000af6d2300050008000000000008000f00000000000c00150001000000' +
    '00000000060016005200000064000200000000020000000002000000e91f35ff010d2bbb81a401b8010d2bbb81a401b8' +
    '413dd5d02553961300000000000000000000000000000000010000000000000001000000000000000100000000000000' +
    '01000000000000000000000000000000',
);
const SUBFLOW: Uint8Array = bytes(
  '02010000dcbea9177f0000010000000000000000000000007f0000010000000000000000000000000000000010010000' +
    '0000000000000000000000000000000000000000af6d2300050008000000000008000f00000000000c00150001000000' +
    '0000000006001600520000001c010200010000000007aa01e01c0300409c000000800000180200000000000000000000' +
    '0000000000000000000000000c000000000000000c0000000c000000ffff0000d7ff00001e0000000f000000ffffff7f' +
    '0b000000cbff00000300000000000000d7ff0000000000009d5edbce06000000ffffffffffffffff0200000000000000' +
    '0100000000000000040000000300000000000000110000000100000001000000c3c3e372000000000000000000000000' +
    '000000000000000000000000000000000200000000000000010000000000000000000000000000000000000000000000' +
    '000000000000010000000100000000000000000000000000000000000000000000000000000000000000000000000000' +
    '0000000000000000680013000a0001006d7074637000000058000300080001000000000008000200e91f35ff08000800' +
    'c3000000050009000000000005000a000000000008000300020000000c000400403dd5d0255396130800050001000000' +
    '08000600d6a72f230600070001000000',
);

test('a Multipath TCP socket', { skip }, () => {
  // ESTAB 0 0 127.0.0.1:56510 127.0.0.1:43287 ino:2321839
  assert.deepEqual(decodeSocket(CONNECTION), {
    ...{ state: 'ESTAB', receiveQueueBytes: 0, sendQueueBytes: 0, uid: 0, inode: 2_321_839 },
    local: { address: '127.0.0.1', port: 56_510 },
    remote: { address: '127.0.0.1', port: 43_287 },
  });
  // subflows_max:2 remote_key token:ff351fe9
  const info = decodeInfo(CONNECTION);
  assert.deepEqual([info?.token, info?.subflowsMax, info?.remoteKeyReceived], [0xff351fe9, 2, true]);
  assert.deepEqual([info?.bytesSent, info?.bytesReceived], [1, 1]);
  assert.equal(decodeSubflow(CONNECTION), undefined);
});

test('its subflow', { skip }, () => {
  const subflow = decodeSubflow(SUBFLOW);
  // tcp-ulp-mptcp flags:Mmec token:0000(id:0)/ff351fe9(id:0)
  assert.deepEqual([subflow?.token, subflow?.localId, subflow?.remoteId], [0xff351fe9, 0, 0]);
  assert.deepEqual([subflow?.joined, subflow?.backupHere, subflow?.backupThere], [false, false, false]);
  // rtt:0.03/0.015 mss:32768 cwnd:11 bytes_sent:1 bytes_acked:2 bytes_received:1
  const tcp = subflow?.tcp;
  assert.deepEqual([tcp?.rttMs, tcp?.mssBytes, tcp?.cwndSegments], [0.03, 32_768, 11]);
  assert.deepEqual([tcp?.bytesSent, tcp?.bytesAcked, tcp?.bytesReceived], [1, 2, 1]);
});

test('flags of a joined backup', { skip }, () => {
  const joined = SUBFLOW.slice();
  // The attribute MPTCP_SUBFLOW_ATTR_FLAGS (8, 4 bytes): MPTCP_SUBFLOW_FLAG_JOIN_LOC 8 and _BKUP_LOC 32.
  const at = Buffer.from(joined).indexOf(Buffer.from('08000800c3000000', 'hex'));
  joined[at + 4] = 8 | 32;
  const subflow = decodeSubflow(joined);
  assert.deepEqual([subflow?.joined, subflow?.backupHere, subflow?.backupThere], [true, true, false]);
});

test('messages cut anywhere are never an exception', { skip }, () => {
  for (let length = 0; length < SUBFLOW.length; length++) {
    decodeSubflow(SUBFLOW.subarray(0, length));
    decodeInfo(CONNECTION.subarray(0, length));
    assert.equal(decodeSocket(SUBFLOW.subarray(0, length)) === undefined, length < 72);
  }
});

test('the request: struct inet_diag_req_v2 for all states with info, the protocol as an attribute', {
  skip,
}, () => {
  const request = Buffer.from(encodeRequest(6, 262));
  assert.equal(request.length, 56 + 8);
  // sdiag_family AF_INET6, sdiag_protocol 262 & 255, idiag_ext 1 << (INET_DIAG_INFO - 1), all idiag_states
  assert.equal(request.subarray(0, 8).toString('hex'), '0a060200ffffffff');
  // INET_DIAG_REQ_PROTOCOL (3), 4 bytes: 262
  assert.equal(request.subarray(56).toString('hex'), '0800030006010000');
});

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

test('the request for one subflow, by its ends', { skip }, () => {
  const four = Buffer.from(
    encodeLookup({ address: '10.0.0.1', port: 0x1234 }, { address: '10.0.0.2', port: 0x5678 }),
  );
  // AF_INET, IPPROTO_TCP, info, all states; then struct inet_diag_sockid in network order, without a cookie
  assert.equal(four.subarray(0, 8).toString('hex'), '02060200ffffffff');
  assert.equal(
    four.subarray(8, 56).toString('hex'),
    `12345678${'0a000001'.padEnd(32, '0')}${'0a000002'.padEnd(32, '0')}00000000ffffffffffffffff`,
  );
  const six = Buffer.from(encodeLookup({ address: 'fd00::1', port: 1 }, { address: 'fd00::2', port: 2 }));
  assert.equal(six.subarray(0, 2).toString('hex'), '0a06');
  assert.equal(
    six.subarray(8, 56).toString('hex'),
    `00010002${'fd'.padEnd(31, '0')}1${'fd'.padEnd(31, '0')}200000000ffffffffffffffff`,
  );
});
