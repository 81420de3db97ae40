// docs/api/counters.md: Linux's counters of TCP and MPTCP, those that a host counts and those that it does not,
// with the reason. `node dist/test/host/counter-table.js --write` (after a build) writes it; counters.test.ts
// holds it against the code, and against the kernel.

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { COUNTERS } from '../../src/tcp/index.ts';

export const COUNTERS_FILE: string = fileURLToPath(new URL('../../../docs/api/counters.md', import.meta.url));

/** Counted under Linux's name, by its group in /proc/net/snmp and /proc/net/netstat. */
export const GROUPS: Readonly<Record<string, readonly string[]>> = {
  Tcp: between('ActiveOpens', 'EmbryonicRsts'),
  TcpExt: between('EmbryonicRsts', 'InNoECTPkts'),
  IpExt: between('InNoECTPkts', 'MPCapableSYNRX'),
  MPTcpExt: between('MPCapableSYNRX', 'SynUnanswered'),
};

/** Ours alone. */
export const OWN: Readonly<Record<string, string>> = {
  SynUnanswered: 'a plain SYN answered first, where one with MP_CAPABLE stayed unanswered',
  SynRefused: 'the same, where one with MP_CAPABLE was refused',
  NetworkRemembered: 'MP_CAPABLE left out, because the network dropped it before',
  MalformedDrops: 'packets that are no TCP segment and no ICMP error about one',
  NoSocketDrops: 'segments for no connection and no listener',
  RstRateLimited: 'resets that were not sent, because there were too many',
  AmplificationLimited: 'SYN/ACKs that were not sent to an address that has not proved itself',
};

/** Linux's MPTcpExt counters that are not counted. */
export const NOT_MULTIPATH: Readonly<Record<string, string>> = {
  MPJoinSynTxCreatSkErr: 'a subflow needs no socket that could fail to be made',
  MPJoinSynTxConnectErr: 'a subflow that cannot set out is MPJoinSynTxBindErr: it has no address or no port',
  AddAddrTxDrop: 'an ADD_ADDR that finds no room waits for the next acknowledgement',
  EchoAddTxDrop: 'an echo that finds no room waits for the next acknowledgement',
  RmAddrTxDrop: 'a REMOVE_ADDR that finds no room waits for the next acknowledgement',
  RmAddrDrop: 'every REMOVE_ADDR is acted on at once; there is no queue that could be full',
  MismatchPortSynRx: 'a join is found by its token, at whatever port',
  MismatchPortAckRx: 'a join is found by its token, at whatever port',
  SndWndShared: 'there is one window, that of the connection; no subflow has one to be held back by',
  RcvWndShared: 'there is one window, that of the connection',
  RcvWndConflictUpdate: 'there is one window, and nobody else who moves it',
  RcvWndConflict: 'there is one window, and nobody else who moves it',
  MD5SigFallback: 'there are no MD5 signatures',
  SimultConnectFallback: 'a simultaneous open falls back as MPCapableFallbackSYNACK',
  FallbackFailed: 'where no fallback is possible the subflow is reset: DSSCorruptionReset, MPRstTx',
};

/** Linux's Tcp counters that are not counted. */
export const NOT_TCP: Readonly<Record<string, string>> = {
  RtoAlgorithm: 'a constant: see the configuration',
  RtoMin: 'a constant: `rtoMinMs`',
  RtoMax: 'a constant: `rtoMaxMs`',
  MaxConn: 'a constant: none',
};

/** The many of TcpExt that are not counted, by reason. */
export const NOT_TCP_EXT: readonly (readonly [reason: string, names: readonly string[]])[] = [
  [
    'there are no SYN cookies, TIME-WAIT buckets, MD5 or TCP-AO keys, busy polling, rehashing or migration',
    words(
      'SyncookiesSent SyncookiesRecv SyncookiesFailed TCPReqQFullDoCookies TWKilled TCPTimeWaitOverflow PAWSActive ' +
        'TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure TCPAORequired TCPAOBad TCPAOKeyNotFound TCPAOGood ' +
        'TCPAODroppedIcmps BusyPollRxPackets TcpTimeoutRehash TcpDuplicateDataRehash TCPPLBRehash TCPMigrateReqSuccess ' +
        'TCPMigrateReqFailure ArpFilter IPReversePathFilter LockDroppedIcmps PFMemallocDrop TCPMinTTLDrop',
    ),
  ],
  [
    'there are no socket buffers: nothing is collapsed, coalesced, pruned, shifted, merged or short of memory',
    words(
      'PruneCalled RcvPruned OfoPruned TCPRcvCollapsed TCPBacklogCoalesce TCPBacklogDrop TCPRcvCoalesce TCPOFODrop ' +
        'TCPOFOMerge TCPSackShifted TCPSackMerged TCPSackShiftFallback TCPAbortOnMemory TCPMemoryPressures ' +
        'TCPMemoryPressuresChrono TCPAbortFailed TCPRetransFail TCPSpuriousRtxHostQueues TCPWqueueTooBig TCPRcvQDrop ' +
        'TCPZeroWindowDrop TCPWantZeroWindowAdv TCPAutoCorking TCPAckCompressed DelayedACKLocked',
    ),
  ],
  ['there is one path through the code, where Linux has a fast one and others', words('TCPHPHits TCPHPAcks')],
  [
    'told by others that are counted: retransmissions by kind, recoveries, undo, challenge and refused segments',
    words(
      'TCPSACKReorder TCPRenoReorder TCPTSReorder TCPLostRetransmit TCPRenoFailures TCPSackFailures TCPLossFailures ' +
        'TCPLossProbeRecovery TCPRenoRecoveryFail TCPSackRecoveryFail TCPDSACKOfoRecv TCPSACKDiscard TCPDSACKIgnoredOld ' +
        'TCPDSACKIgnoredNoUndo TCPDSACKIgnoredDubious TCPDSACKRecvSegs TCPDelivered TCPMTUPSuccess DelayedACKLost ' +
        'BeyondWindow TSEcrRejected PAWSOldAck PAWSTimewait TCPACKSkippedSynRecv TCPACKSkippedFinWait2 ' +
        'TCPACKSkippedTimeWait TCPAbortOnLinger TCPDeferAcceptDrop TCPHystartTrainDetect TCPHystartTrainCwnd ' +
        'TCPHystartDelayDetect TCPHystartDelayCwnd',
    ),
  ],
];

/** The whole document. */
export function countersDocument(): string {
  const counted = Object.entries(GROUPS).map(([group, names]) => `| ${group} | ${names.join(', ')} |`);
  const reasons = { ...prefixed('MPTcpExt', NOT_MULTIPATH), ...prefixed('Tcp', NOT_TCP) };
  return [
    HEAD,
    ...counted,
    `| ours | ${Object.entries(OWN)
      .map(([name, meaning]) => `${name} (${meaning})`)
      .join('; ')} |`,
    '\n## Not counted\n\n| counter of Linux 6.18 | why |\n|---|---|',
    ...Object.entries(reasons).map(([name, why]) => `| ${name} | ${why} |`),
    ...NOT_TCP_EXT.map(([why, names]) => `| TcpExt: ${names.join(', ')} | ${why} |`),
    '',
  ].join('\n');
}

function between(first: string, next: string): string[] {
  const all: readonly string[] = COUNTERS;
  return all.slice(all.indexOf(first), all.indexOf(next));
}

function prefixed(group: string, table: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(table).map(([name, why]) => [`${group}: ${name}`, why]));
}

function words(text: string): string[] {
  return text.split(' ');
}

const HEAD = `# Counters

\`host.counters\` of [\`mptcp/core\`](core.md) counts under the names of Linux's MIB (\`nstat\`, \`/proc/net/netstat\`), so that what
reads the kernel's reads these. CurrEstab and MPCurrEstab are what there is now; all others only grow. What each of MPTcpExt
means, \`mptcp stat\` says.

Generated from \`src/tcp/counters.ts\` and \`test/host/counter-table.ts\`: build, and run
\`node dist/test/host/counter-table.js --write\`.

| group | counted |
|---|---|`;

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv.includes('--write')) {
  writeFileSync(COUNTERS_FILE, countersDocument());
}
