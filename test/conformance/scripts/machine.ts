// Decides how a host of ours lives in a script: virtual time in milliseconds, its packets kept as they leave.
// Nothing here knows the script. Before: run-script, calls, shell. After: src/host, which is under test.

import { createHash, createHmac } from 'node:crypto';
import { type Config, Host, Sockets } from '../../../src/host/index.ts';
import { Addresses } from './flow.ts';
import { type LivePacket, readPacket } from './live-packet.ts';

export class Machine {
  /** Milliseconds; a script begins at `startMs`. */
  now: number = START_MS;
  readonly startMs: number = START_MS;
  readonly sockets: Sockets;
  readonly addresses: Addresses;
  /** What has left and no event has taken. */
  readonly sent: LivePacket[] = [];
  readonly interfaces: Map<string, number> = new Map();
  /** Called whenever something may have happened: calls that wait look again. */
  whenMoved: () => void = () => {};
  private before: Readonly<Record<string, number>> = {};
  private readonly mtu: number;
  private readonly buffer: Buffer = Buffer.alloc(70_000);

  constructor(options: { config?: Partial<Config>; isV6: boolean; mtu: number }) {
    let state = 12_345;
    const entropy = {
      randomBytes: (into: Uint8Array): void => {
        for (let i = 0; i < into.length; i++) {
          state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
          into[i] = state >>> 16;
        }
      },
      sha256: (data: Uint8Array): Uint8Array => createHash('sha256').update(data).digest(),
      hmacSha256: (key: Uint8Array, data: Uint8Array): Uint8Array =>
        createHmac('sha256', key).update(data).digest(),
    };
    this.sockets = new Sockets(new Host({ entropy, config: options.config ?? {} }));
    this.addresses = new Addresses(options.isV6);
    this.mtu = options.mtu;
    this.addAddress(this.addresses.local(0));
  }

  /** A local address more; returns its interface. */
  addAddress(address: string): number {
    let id = this.interfaces.get(address);
    if (id === undefined) {
      // As a device with TSO: packets of several segments, which the player cuts where the script does.
      id = this.sockets.host.addInterface({ address, mtu: this.mtu, gsoMax: 65_535, checksumOffload: true });
      this.interfaces.set(address, id);
    }
    return id;
  }

  get seconds(): number {
    return (this.now - this.startMs) / 1000;
  }

  /** Lets time pass up to then, deadline by deadline; stops early when `enough` says so. */
  advance(toMs: number, enough: () => boolean = () => false): void {
    const { host } = this.sockets;
    for (let turns = 0; !enough(); turns++) {
      const due = host.nextDeadline();
      if (due > toMs) break;
      if (turns > 100_000) throw new Error('the deadline does not move');
      this.now = Math.max(this.now, due);
      host.expire(this.now);
      this.settle();
    }
    if (!enough()) this.now = Math.max(this.now, toMs);
  }

  /** Counters are told from here on. */
  countFrom(): void {
    this.before = { ...this.sockets.host.counters };
  }

  counted(name: string): number | undefined {
    const { counters } = this.sockets.host as { counters: Readonly<Record<string, number>> };
    return name in counters ? counters[name] - (this.before[name] ?? 0) : undefined;
  }

  receive(bytes: Buffer, address: string): void {
    const id = this.interfaces.get(address) ?? 1;
    this.sockets.host.receive(id, bytes, 0, bytes.length, this.now);
    this.settle();
  }

  /** Takes out what wants to leave, and lets waiting calls look. */
  settle(): void {
    this.drain();
    this.whenMoved();
    this.drain();
  }

  private drain(): void {
    const { host } = this.sockets;
    for (
      let n = host.transmit(this.buffer, 0, this.now);
      n > 0;
      n = host.transmit(this.buffer, 0, this.now)
    ) {
      const packet = readPacket(Buffer.from(this.buffer.subarray(0, n)), this.now);
      if (packet !== null && this.addresses.isRouted(packet.target)) this.sent.push(packet);
    }
  }
}

const START_MS = 1_000_000;
