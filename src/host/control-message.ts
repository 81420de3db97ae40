// Decides what an ICMP error does to the connection whose segment it quotes: a smaller segment size, the end
// of an attempt, or a note for the day the connection times out.
// Read: RFC 9293 §3.9.2.2, RFC 1191 §6, RFC 8201 §5, RFC 5461, RFC 5927 §4–7 (forged errors).
// Before: host.receive. After: tcp/tcb.

import { State, type Tcb } from '../tcp/index.ts';
import { type IcmpError, IcmpMeaning } from '../wire/index.ts';
import type { Connection } from './connection.ts';

/** Applies an error to its connection. False: it quotes nothing that is in flight, and is ignored. */
export function controlMessage(tcb: Tcb, error: IcmpError, now: number): boolean {
  // RFC 5927 §4.1: only who sees our segments knows what is outstanding.
  const ahead = (error.seq - tcb.wireSeq(tcb.sndUna)) | 0;
  if (tcb.state === State.CLOSED || ahead < 0 || ahead >= tcb.sndNxt - tcb.sndUna) return false;
  if (error.meaning !== IcmpMeaning.TOO_BIG && endsAsInLinux(tcb, error, now)) return true;
  switch (error.meaning) {
    case IcmpMeaning.TOO_BIG:
      return tooBig(tcb, error, now);
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

/**
 * DEVIATION (RFC 5461: what may pass ends no attempt): Linux gives up an attempt at any of them, of either
 * side, and so a connection of TCP Fast Open that nobody has accepted.
 */
function endsAsInLinux(tcb: Tcb, { type, code }: IcmpError, now: number): boolean {
  if (!tcb.env.config.asLinux) return false;
  const isEarly = tcb.state === State.SYN_RECEIVED && tcb.fastOpenServer?.early === true;
  const { userData, isHalfOpen } = tcb.owner as Connection;
  const isPending = isEarly ? userData === undefined : tcb.state === State.SYN_RECEIVED && isHalfOpen;
  if (tcb.state !== State.SYN_SENT && !isPending) return false;
  const name = (tcb.networkInterface.family === 6 ? ERRORS_6 : ERRORS_4)[code];
  if (type !== (tcb.networkInterface.family === 6 ? 1 : 3) || name === undefined) return false;
  if (tcb.state === State.SYN_SENT) tcb.env.counters.AttemptFails++;
  else if (!isEarly) tcb.env.counters.ListenDrops++;
  tcb.close({ code: name, text: 'the network says that there is no way' }, now);
  return true;
}

function tooBig(tcb: Tcb, error: IcmpError, now: number): boolean {
  const ipv6 = tcb.networkInterface.family === 6;
  const headers = ipv6 ? 60 : 40;
  // RFC 1191 §5: a router that names no MTU leaves it to us to step down.
  const named = error.mtuBytes > 0 ? error.mtuBytes : plateauBelow(error.packetBytes);
  const mtuBytes = Math.max(named, ipv6 ? IPV6_FLOOR : IPV4_FLOOR);
  // RFC 5927 §7.2: an error about a packet that was small enough for the MTU it names is forged.
  if (tcb.state === State.SYN_SENT) {
    // A SYN with data (TCP Fast Open): again at once, without.
    if ((tcb.fastOpenClient?.bytes ?? 0) === 0) return false;
    tcb.synPending = true;
  } else {
    if (mtuBytes - headers >= tcb.mss) return false;
    tcb.limitMtu(mtuBytes);
  }
  remember(tcb, mtuBytes, now);
  return true;
}

/** RFC 1191 §6.3, RFC 8201 §5.3: for the connections to come, too, and not for ever. */
function remember({ env, remoteWords }: Tcb, mtuBytes: number, now: number): void {
  const { pathMtus } = env.shared;
  if (pathMtus.size >= MOST_PATHS) pathMtus.clear();
  pathMtus.set(remoteWords.join(), { mtuBytes, untilMs: now + REMEMBERED_MS });
}

function plateauBelow(bytes: number): number {
  return PLATEAUS.find(plateau => plateau < bytes) ?? IPV4_FLOOR;
}

/** Linux's smallest IPv4 path MTU (min_pmtu); RFC 8200's smallest IPv6 link MTU. */
const IPV4_FLOOR = 552;
const IPV6_FLOOR = 1280;
/** RFC 1191 §7.1, table 7-1, those that still occur, and ours. */
const PLATEAUS = [32_000, 17_914, 8166, 4352, 2002, 1492, 1280, 1006, 576];
/** By code of destination unreachable: Linux's icmp_err_convert, and its tab_unreach. */
const ERRORS_4 = ['ENETUNREACH', 'EHOSTUNREACH', 'ENOPROTOOPT', 'ECONNREFUSED'];
const ERRORS_6 = ['ENETUNREACH', 'EACCES', 'EHOSTUNREACH', 'EHOSTUNREACH', 'ECONNREFUSED'];
const MOST_PATHS = 1024;
/** Linux: mtu_expires, ten minutes. */
const REMEMBERED_MS = 600_000;
const SOFT_TEXT = 'the network says that it has no way there';
