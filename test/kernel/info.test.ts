// The kernel's structures, read from bytes that Linux 6.18 gave for one connection over loopback (1,234,567 bytes
// sent and echoed). What is expected is what `ss -Mni` and `ss -tni` printed of it at the same moment.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeMptcpInfo,
  decodeSubflowAddresses,
  decodeTcpInfo,
  NATIVE_LITTLE,
  subflowPieces,
  writeSubflowHead,
} from '../../src/kernel/info.ts';

const skip: string | false = !NATIVE_LITTLE && 'the bytes are from a little-endian machine';

const MPTCP_INFO: Uint8Array = bytes(
  '00000002000000000200000070471109a1ba9c64876f89baa1ba9c64876f89ba859c26766c57ac670000000000000000' +
    '000000000000000087d612000000000087d612000000000087d6120000000000010000004c0100004c0100004c010000',
);
const TCPINFO: Uint8Array = bytes(
  '10000000010000001801000018010000010000000007aa00e01c0300409c0000cbff0000afff00000000000000000000' +
    '0000000000000000000000004c010000000000004c0100004c010000ffff0000ac030b00480000005100000008000000' +
    '0e000000cbff000003000000820100000000050000000000fdd303c603000000ffffffffffffffff88d6120000000000' +
    '88d61200000000002a0000002d00000000000000050000001d0000001b000000c0419e0c03000000a00f000000000000' +
    '000000000000000000000000000000001c0000000000000087d612000000000000000000000000000000000000000000' +
    '0000000000701d0000040b00000000000000000000000000000000000000000000000000000000000000000000000000' +
    '0000000000000000',
);
/** A head of 16 bytes, then two socket addresses of 128: 127.0.0.1:59234 and 127.0.0.1:36323. */
const SUBFLOW_ADDRS: Uint8Array = bytes(
  `10000000010000000001000000010000${'0200e7627f000001'.padEnd(256, '0')}${'02008de37f000001'.padEnd(256, '0')}`,
);

test('struct mptcp_info', { skip }, () => {
  const info = decodeMptcpInfo(MPTCP_INFO);
  assert.ok(info);
  // ss -M: subflows_max:2 remote_key token:9114770
  assert.deepEqual([info.subflowsMax, info.remoteKeyReceived, info.token], [2, true, 0x9114770]);
  assert.deepEqual([info.extraSubflows, info.subflowsTotal, info.fallback], [0, 1, false]);
  assert.deepEqual([info.bytesSent, info.bytesReceived, info.bytesAcked], [1_234_567, 1_234_567, 1_234_567]);
  assert.equal(info.checksumEnabled, false);
});

test('struct mptcp_info of an older kernel is shorter: what it does not know is 0', { skip }, () => {
  const info = decodeMptcpInfo(MPTCP_INFO.subarray(0, 48));
  assert.deepEqual([info?.token, info?.bytesSent, info?.subflowsTotal], [0x9114770, 0, 0]);
  assert.equal(decodeMptcpInfo(MPTCP_INFO.subarray(0, 39)), undefined);
});

test('struct tcp_info, as MPTCP_TCPINFO gives it', { skip }, () => {
  const pieces = subflowPieces(TCPINFO);
  assert.equal(pieces.length, 1);
  // ss -t: rtt:0.072 mss:65483 cwnd:14 bytes_sent:1234567 bytes_acked:1234568 bytes_received:1234568
  assert.deepEqual(decodeTcpInfo(pieces[0]), {
    ...{ state: 1, congestionState: 0, retransmits: 0, mssBytes: 65_483, rttMs: 0.072, cwndSegments: 14 },
    // … lastack:332 rtt:0.072/0.081, nothing unacked
    ...{ unackedSegments: 0, lastAckMs: 332, rttVarMs: 0.081 },
    ...{ bytesSent: 1_234_567, bytesAcked: 1_234_568, bytesReceived: 1_234_568, bytesRetransmitted: 0 },
  });
  assert.equal(decodeTcpInfo(pieces[0].subarray(0, 103)), undefined);
});

test('struct mptcp_subflow_addrs', { skip }, () => {
  const pieces = subflowPieces(SUBFLOW_ADDRS);
  assert.equal(pieces.length, 1);
  assert.deepEqual(decodeSubflowAddresses(pieces[0]), {
    local: { address: '127.0.0.1', port: 59_234 },
    remote: { address: '127.0.0.1', port: 36_323 },
  });
});

test('addresses of IPv6, and IPv4 seen by a socket of both families', { skip }, () => {
  const six = '0a000050' + '00000000' + '20010db8000000000000000000000001' + '00000000';
  const mapped = '0a000051' + '00000000' + '00000000000000000000ffffc0000201' + '00000000';
  const both = bytes(six.padEnd(256, '0') + mapped.padEnd(256, '0'));
  assert.deepEqual(decodeSubflowAddresses(both), {
    local: { address: '2001:db8::1', port: 80 },
    remote: { address: '192.0.2.1', port: 81 },
  });
});

test('pieces that are not all there are left out, and an unknown family is no address', { skip }, () => {
  assert.deepEqual(subflowPieces(TCPINFO.subarray(0, 200)), []);
  assert.deepEqual(subflowPieces(new Uint8Array(15)), []);
  assert.equal(decodeSubflowAddresses(new Uint8Array(256)), undefined);
});

test('the head the kernel wants: its own size, and that of a piece', { skip }, () => {
  const head = new Uint8Array(20).fill(7);
  writeSubflowHead(head, 280);
  assert.equal(
    Buffer.from(head).toString('hex'),
    '10000000' + '00000000' + '00000000' + '18010000' + '07070707',
  );
});

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}
