// Decides whether the core does what a script says: plays its events in virtual time and stops at the first
// difference. Read: the language as packetdrill has it. Before: run, tests. After: machine, calls, match-packet.

import { type Config, constants, errnoName } from '../../../src/host/index.ts';
import { failedAssertion } from './assertion.ts';
import { buildIcmp } from './build-icmp.ts';
import { buildPacket } from './build-packet.ts';
import { Calls } from './calls.ts';
import { Flow, Keys } from './flow.ts';
import { describe, type LivePacket } from './live-packet.ts';
import { Machine } from './machine.ts';
import { matchPacket } from './match-packet.ts';
import type { CallEvent, Event, IcmpEvent, PacketEvent, Script } from './script.ts';
import { runShell, setStandard } from './shell.ts';

export interface RunOptions {
  ipVersion: 4 | 6;
  /** How much earlier or later something may be than the script says, unless it says that itself. */
  toleranceMs?: number;
  /** Of the host, before the sysctls of the script. */
  config?: Partial<Config>;
}

/** null when the script holds, else where and how it does not. */
export function runScript(script: Script, options: RunOptions): string | null {
  const run = new Run(script, options);
  for (const event of script.events) {
    const difference = run.play(event);
    if (difference !== null) return `line ${event.line}: ${event.text}\n    ${difference}`;
  }
  return run.unfinished();
}

/** A blocking call that is under way. */
interface Waiting {
  readonly call: CallEvent & Event;
  readonly endMs: number | null;
  result: number | null;
  resultAt: number;
  difference: string | null;
}

class Run {
  private readonly machine: Machine;
  private readonly calls: Calls;
  private readonly toleranceMs: number;
  private readonly flows: Flow[] = [];
  private current: Flow | null = null;
  private readonly waiting: Waiting[] = [];
  /** When the event before was, in ms of the machine. */
  private lastMs: number;

  constructor(script: Script, options: RunOptions) {
    const isV6 = options.ipVersion === 6;
    const tolerance = script.settings.get('tolerance_usecs');
    this.toleranceMs = tolerance !== undefined ? Number(tolerance) / 1000 : (options.toleranceMs ?? 4);
    // 20 bytes more for IPv6, so that scripts find the same MSS.
    const mtu = Number(script.settings.get('mtu') ?? (isV6 ? 1520 : 1500));
    this.machine = new Machine({ isV6, mtu, config: options.config ?? {} });
    setStandard(this.machine);
    this.calls = new Calls(this.machine, isV6);
    this.machine.whenMoved = () => this.lookAgain();
    this.lastMs = this.machine.now;
  }

  play(event: Event): string | null {
    const { machine } = this;
    const startMs = this.timeOf(event);
    if (event.type === 'packet' && event.direction === 'out') return this.expect(event, startMs);
    if (event.when.kind !== 'any') machine.advance(startMs);
    const late = this.checkWaiting();
    if (late !== null) return late;
    this.lastMs = machine.now;
    if (event.type === 'packet') return this.inject(event);
    if (event.type === 'icmp') return this.injectError(event);
    if (event.type === 'call') return this.call(event, startMs);
    if (event.type === 'assert') return this.assert(event.code);
    return runShell(event.command, machine);
  }

  /** What a script leaves open at its end. */
  unfinished(): string | null {
    for (const waiting of this.waiting) {
      if (waiting.endMs !== null) this.machine.advance(waiting.endMs + this.toleranceMs);
    }
    return this.checkWaiting();
  }

  private timeOf({ when }: Event): number {
    if (when.kind === 'any') return this.machine.now;
    return (when.kind === 'relative' ? this.lastMs : this.machine.startMs) + when.start * 1000;
  }

  // Calls

  private call(event: CallEvent & Event, startMs: number): string | null {
    const { when } = event;
    // The next SYN is for the new listener.
    if (event.name === 'listen') for (const flow of this.flows) flow.answered = true;
    const endMs = when.end === null ? null : startMs + (when.end - when.start) * 1000;
    const waiting: Waiting = { call: event, endMs, result: null, resultAt: 0, difference: null };
    this.waiting.push(waiting);
    this.machine.settle();
    if (waiting.result === null && endMs === null) {
      this.machine.advance(this.machine.now + BLOCKING_LIMIT_MS, () => waiting.result !== null);
    }
    this.machine.settle();
    return this.checkWaiting(waiting);
  }

  /** Calls that wait are made again. */
  private lookAgain(): void {
    for (const waiting of this.waiting) {
      if (waiting.result !== null) continue;
      const result = this.calls.perform(waiting.call);
      if (result === null) continue;
      waiting.result = result;
      waiting.resultAt = this.machine.now;
      waiting.difference = this.calls.difference;
    }
  }

  /** Judges the calls that have returned; `only` one that must have. */
  private checkWaiting(only?: Waiting): string | null {
    for (const waiting of [...this.waiting]) {
      const { call, endMs, result } = waiting;
      const isDue = endMs === null ? waiting === only : this.machine.now > endMs + this.toleranceMs;
      if (result === null) {
        if (isDue) return `${call.text} has not returned`;
        continue;
      }
      this.waiting.splice(this.waiting.indexOf(waiting), 1);
      const difference = judge(call, result) ?? waiting.difference;
      if (difference !== null) return call === only?.call ? difference : `${call.text}: ${difference}`;
      if (endMs !== null && Math.abs(waiting.resultAt - endMs) > this.toleranceMs) {
        return `${call.text}: returned after ${waiting.resultAt - this.machine.startMs} ms, not ${endMs - this.machine.startMs}`;
      }
    }
    return null;
  }

  private assert(code: string): string | null {
    let info: Readonly<Record<string, unknown>> = {};
    for (const socket of [...this.calls.sockets.values()].reverse()) {
      const found = socket.getsockopt(constants.SOL_TCP, constants.TCP_INFO, this.machine.now);
      if (typeof found === 'object' && !socket.isListening) {
        info = found as Record<string, unknown>;
        break;
      }
    }
    return failedAssertion(code, info);
  }

  // Packets

  private inject(event: PacketEvent): string | null {
    const flow = this.flowInto(event);
    if (flow === null) return 'no connection for this packet';
    this.current = flow;
    if (!event.flags.includes('S')) flow.answered = true;
    else flow.remoteOrigin ??= event.seq;
    const { machine } = this;
    const bytes = buildPacket(event, flow, machine.addresses);
    machine.receive(bytes, flow.local);
    return null;
  }

  private injectError(event: IcmpEvent): string | null {
    const { current: flow, machine } = this;
    if (flow === null) return 'no connection for this error';
    flow.answered = true;
    machine.receive(buildIcmp(event, flow), flow.local);
    return null;
  }

  private flowInto(event: PacketEvent): Flow | null {
    const { addresses } = this.machine;
    const isSyn = event.flags.includes('S') && !event.flags.includes('.');
    const { current } = this;
    const isStated = event.source !== null || event.target !== null;
    if (!isStated && current !== null && !(isSyn && current.answered)) {
      return current;
    }
    const remote =
      event.source === null ? (current?.remote ?? addresses.remote(0)) : addresses.named(event.source, false);
    const local =
      event.target === null ? (current?.local ?? addresses.local(0)) : addresses.named(event.target, true);
    const known = this.flows.filter(flow => flow.remote === remote && flow.local === local);
    const last = known[known.length - 1];
    if (last !== undefined && !(isSyn && last.answered)) return last;
    if (!isSyn) return isStated ? (this.flows.findLast(flow => flow.remote === remote) ?? null) : null;
    const joins = event.options?.some(option => option.kind === 'mp_join_syn') ?? false;
    return this.newFlow({
      local,
      localPort: 8080,
      remote,
      remotePort: this.freePort(),
      active: false,
      joins,
    });
  }

  private freePort(): number {
    return 20_000 + this.flows.length * 2;
  }

  private newFlow(ends: {
    local: string;
    localPort: number;
    remote: string;
    remotePort: number;
    active: boolean;
    joins: boolean;
  }): Flow {
    const before = this.flows.findLast(flow => flow.keys?.local !== null)?.keys ?? null;
    const flow = new Flow({ ...ends, keys: ends.joins ? before : new Keys(), number: this.flows.length });
    this.flows.push(flow);
    return flow;
  }

  private expect(event: PacketEvent & Event, startMs: number): string | null {
    const { machine, toleranceMs } = this;
    const { when } = event;
    const isAny = when.kind === 'any';
    const latest = when.latest === null ? startMs : startMs + (when.latest - when.start) * 1000;
    const limitMs = isAny ? machine.now + ANY_LIMIT_MS : latest + toleranceMs;
    let index = this.indexOfExpected(event);
    if (index < 0) {
      machine.advance(limitMs, () => this.indexOfExpected(event) >= 0);
      index = this.indexOfExpected(event);
    }
    const late = this.checkWaiting();
    if (late !== null) return late;
    if (index < 0 && event.source === null && event.target === null) {
      // Of another subflow than the one spoken of last.
      const keys = this.current?.keys ?? null;
      index = keys === null ? -1 : machine.sent.findIndex(packet => this.flowOf(packet)?.keys === keys);
    }
    if (index < 0) {
      const others = machine.sent
        .map(packet => describe(packet, this.flowOf(packet)))
        .join('\n      and not expected: ');
      return `no packet until ${limitMs - machine.startMs} ms${others === '' ? '' : `; sent instead: ${others}`}`;
    }
    const flow = this.flowOf(machine.sent[index]) ?? this.adopt(machine.sent[index], event);
    const packet = this.takeLike(event, index, flow);
    this.current = flow;
    if ((packet.flags & 2) !== 0) {
      flow.localIsn ??= packet.seq;
      flow.localOrigin ??= event.seq;
    }
    this.bind(event, packet);
    const difference = matchPacket(event, packet, flow, machine.addresses);
    if (difference !== null)
      return `${difference}\n    sent: ${describe(packet, flow)} at ${packet.at - machine.startMs} ms`;
    const isEarly = packet.at < startMs - toleranceMs;
    if (!isAny && (isEarly || packet.at > limitMs)) {
      return `sent at ${packet.at - machine.startMs} ms, not ${startMs - machine.startMs}: ${describe(packet, flow)}`;
    }
    this.lastMs = isAny || when.latest !== null ? packet.at : startMs;
    return null;
  }

  /** The first packet that could be the one: of the connection spoken of, or of a new one for a SYN. */
  private indexOfExpected(event: PacketEvent): number {
    const { addresses } = this.machine;
    const source = event.source === null ? null : (addresses.byName.get(event.source) ?? null);
    const target = event.target === null ? null : (addresses.byName.get(event.target) ?? null);
    const isStated = event.source !== null || event.target !== null;
    if (!isStated && event.flags.includes('S') && !event.flags.includes('.')) {
      // What an earlier connection left behind is not looked at any more.
      const fresh = this.machine.sent.findIndex(
        packet => this.flowOf(packet) === null && (packet.flags & SYN_BITS) === SYN,
      );
      if (fresh >= 0) return fresh;
    }
    return this.machine.sent.findIndex(packet => {
      if (!isStated) {
        const flow = this.flowOf(packet);
        return flow === null
          ? (packet.flags & SYN_BITS) === SYN
          : flow === this.current || opens(event, flow, packet);
      }
      if (event.flags.includes('S') !== ((packet.flags & 2) !== 0) && event.flags.includes('S')) return false;
      return (source === null || packet.source === source) && (target === null || packet.target === target);
    });
  }

  private flowOf(packet: LivePacket): Flow | null {
    return (
      this.flows.findLast(
        flow =>
          flow.remote === packet.target &&
          flow.remotePort === packet.targetPort &&
          flow.localPort === packet.sourcePort &&
          flow.local === packet.source,
      ) ?? null
    );
  }

  /** A connection that the stack opens. */
  private adopt(packet: LivePacket, event: PacketEvent): Flow {
    return this.newFlow({
      local: packet.source,
      localPort: packet.sourcePort,
      remote: packet.target,
      remotePort: packet.targetPort,
      active: true,
      joins: event.options?.some(option => option.kind === 'mp_join_syn') ?? false,
    });
  }

  /** Takes the packet, with as many that go on where it ends, or as much of it, as the script has in one. */
  private takeLike(event: PacketEvent, index: number, flow: Flow): LivePacket {
    const { sent } = this.machine;
    let packet = sent[index];
    sent.splice(index, 1);
    for (let i = index; packet.length > 0 && packet.length < event.length && i < sent.length; ) {
      const next = sent[i];
      const goesOn =
        this.flowOf(next) === flow && next.length > 0 && next.seq === (packet.seq + packet.length) >>> 0;
      if (!goesOn) {
        i++;
        continue;
      }
      sent.splice(i, 1);
      packet = { ...packet, length: packet.length + next.length, flags: packet.flags | next.flags };
    }
    if (packet.length > event.length && event.length > 0) {
      const rest = {
        ...packet,
        seq: (packet.seq + event.length) >>> 0,
        length: packet.length - event.length,
      };
      sent.splice(index, 0, rest);
      packet = { ...packet, length: event.length, flags: packet.flags & ~9 };
      // Where a large packet is cut is the link's affair, and where it pushes then, too.
      if (event.flags.includes('P')) packet = { ...packet, flags: packet.flags | 8 };
    }
    return packet;
  }

  /** Names of addresses that the script has here for the first time. */
  private bind(event: PacketEvent, packet: LivePacket): void {
    const { byName } = this.machine.addresses;
    if (event.source !== null && !byName.has(event.source)) byName.set(event.source, packet.source);
    if (event.target !== null && !byName.has(event.target)) byName.set(event.target, packet.target);
  }
}

/** null when a call answered as the script says. */
function judge(call: CallEvent, result: number): string | null {
  const shown = result < 0 ? `-1 ${errnoName(result) || result}` : `${result}`;
  if (call.error !== null)
    return errnoName(result) === call.error && result < 0 ? null : `it returned ${shown}`;
  if (call.result === null || result === call.result) return null;
  // `-1` alone, or with a sentence in place of the error's name.
  if (call.result === -1 && result < 0) return null;
  return `it returned ${shown}`;
}

/** A SYN of another connection than the one spoken of last: that one's leftovers are not looked at. */
function opens(event: PacketEvent, flow: Flow, packet: LivePacket): boolean {
  return event.flags.includes('S') && (packet.flags & SYN) !== 0 && flow.localIsn === null;
}

const SYN = 2;
/** SYN, RST and ACK. */
const SYN_BITS = 0x16;
const BLOCKING_LIMIT_MS = 10_000;
const ANY_LIMIT_MS = 600_000;
