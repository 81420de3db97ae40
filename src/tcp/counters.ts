// Decides the names of what is counted: Linux's MIB names where Linux counts the same thing, so that one
// dashboard reads both stacks; own names, marked so, where it does not.

/** Counter names of the whole host. */
export const COUNTERS = [
  // Tcp
  'ActiveOpens',
  'PassiveOpens',
  'AttemptFails',
  'EstabResets',
  'InSegs',
  'OutSegs',
  'RetransSegs',
  'InErrs',
  'OutRsts',
  'InCsumErrors',
  // TcpExt
  'TCPTimeouts',
  'TCPLossProbes',
  'TCPSackRecovery',
  'TCPChallengeACK',
  'TCPSYNChallenge',
  'PAWSEstab',
  'ListenDrops',
  'ListenOverflows',
  'TCPAbortOnTimeout',
  'TCPAbortOnData',
  'TCPAbortOnClose',
  'TCPDSACKOldSent',
  'TCPDSACKOfoSent',
  'TCPDSACKRecv',
  'TCPOFOQueue',
  'TCPKeepAlive',
  'TCPWinProbe',
  'TCPMTUPFail',
  'OutOfWindowIcmps',
  // MPTcpExt
  'MPCapableSYNRX',
  'MPCapableSYNTX',
  'MPCapableSYNACKRX',
  'MPCapableACKRX',
  'MPCapableFallbackACK',
  'MPCapableFallbackSYNACK',
  'MPCapableDataFallback',
  'MPFallbackTokenInit',
  'MPTCPRetrans',
  'MPJoinNoTokenFound',
  'MPJoinRejected',
  'MPJoinSynTx',
  'MPJoinSynRx',
  'MPJoinSynAckRx',
  'MPJoinSynAckHMacFailure',
  'MPJoinAckRx',
  'MPJoinAckHMacFailure',
  'DSSNotMatching',
  'DSSNoMatchTCP',
  'DSSCorruptionFallback',
  'DSSCorruptionReset',
  'DssFallback',
  'InfiniteMapTx',
  'InfiniteMapRx',
  'DataCsumErr',
  'DuplicateData',
  'AddAddr',
  'AddAddrTx',
  'EchoAdd',
  'EchoAddTx',
  'AddAddrDrop',
  'RmAddr',
  'RmAddrTx',
  'MPPrioTx',
  'MPPrioRx',
  'MPFailTx',
  'MPFailRx',
  'MPFastcloseTx',
  'MPFastcloseRx',
  'MPRstTx',
  'MPRstRx',
  'SubflowStale',
  'SubflowRecover',
  'WinProbe',
  // own
  'MalformedDrops',
  'NoSocketDrops',
  'RstRateLimited',
  'AmplificationLimited',
] as const;

export type CounterName = (typeof COUNTERS)[number];

/** All counters at zero. */
export function newCounters(): Record<CounterName, number> {
  const counters = {} as Record<CounterName, number>;
  for (const name of COUNTERS) counters[name] = 0;
  return counters;
}
