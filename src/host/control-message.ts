// Decides what an ICMP error does to the connection whose segment it quotes: a smaller segment size, the end
// of an attempt, or a note for the day the connection times out.
// Read: RFC 9293 §3.9.2.2, RFC 1191 §6, RFC 8201 §5, RFC 5461, RFC 5927 §4–7 (forged errors).
// Before: host.receive. After: tcp/tcb.

import { State, type Tcb } from '../tcp/index.ts';
import { type IcmpError, IcmpMeaning } from '../wire/index.ts';

/** Applies an error to its connection. False: it quotes nothing that is in flight, and is ignored. */
export function controlMessage(tcb: Tcb, error: IcmpError, now: number): boolean {
  // RFC 5927 §4.1: only who sees our segments knows what is outstanding.
  const ahead = (error.seq - tcb.wireSeq(tcb.sndUna)) | 0;
  if (tcb.state === State.CLOSED || ahead < 0 || ahead >= tcb.sndNxt - tcb.sndUna) return false;
  switch (error.meaning) {
    case IcmpMeaning.TOO_BIG:
      return tooBig(tcb, error);
    case IcmpMeaning.HARD:
      // RFC 9293 SHLD-26 asks to abort; DEVIATION as RFC 5927 §5.2 and Linux: not once synchronized, where
      // such an error is more likely forged than true.
      if (tcb.state === State.SYN_SENT) {
        tcb.env.counters.AttemptFails++;
        tcb.close({ code: 'ECONNREFUSED', text: 'the network says that nobody listens there' }, now);
        return true;
      }
      break;
  }
  // RFC 9293 MUST-56: "a TCP implementation MUST NOT abort the connection".
  tcb.softError = SOFT_TEXT;
  return true;
}

function tooBig(tcb: Tcb, error: IcmpError): boolean {
  const ipv6 = tcb.networkInterface.family === 6;
  const headers = ipv6 ? 60 : 40;
  // RFC 1191 §5: a router that names no MTU leaves it to us to step down.
  const named = error.mtuBytes > 0 ? error.mtuBytes : plateauBelow(error.packetBytes);
  const mtuBytes = Math.max(named, ipv6 ? IPV6_FLOOR : IPV4_FLOOR);
  // RFC 5927 §7.2: an error about a packet that was small enough for the MTU it names is forged.
  if (mtuBytes - headers >= tcb.mss) return false;
  tcb.limitMtu(mtuBytes);
  return true;
}

function plateauBelow(bytes: number): number {
  return PLATEAUS.find(plateau => plateau < bytes) ?? IPV4_FLOOR;
}

/** Linux's smallest IPv4 path MTU (min_pmtu); RFC 8200's smallest IPv6 link MTU. */
const IPV4_FLOOR = 552;
const IPV6_FLOOR = 1280;
/** RFC 1191 §7.1, table 7-1, those that still occur, and ours. */
const PLATEAUS = [32_000, 17_914, 8166, 4352, 2002, 1492, 1280, 1006, 576];
const SOFT_TEXT = 'the network says that it has no way there';
