// Two hosts with two networks between them, in virtual time, and applications that do what a seed says. The
// network hands every packet to a hook first; what comes back is what arrives.

import assert from 'node:assert/strict';
import { type Config, type Connection, Host, type Listener, Ready } from '../../src/host/index.ts';
import { seededEntropy } from '../tcp/peer.ts';
import type { Chance } from './chance.ts';

export const PORT = 80;
const ADDRESSES = [
  ['192.0.2.1', '198.51.100.1'],
  ['192.0.2.2', '198.51.100.2'],
];
/** No call of the application, packet or timer explains more packets than this at once. */
const PACKETS_AT_ONCE = 2_000;

export interface PairOptions {
  chance: Chance;
  multipath: boolean;
  checksumOffload: boolean;
  config?: Partial<Config>;
  /** What arrives for one packet sent: nothing, itself, something else, several. */
  hook?: (packet: Uint8Array) => readonly Uint8Array[];
}

interface Flying {
  at: number;
  to: number;
  interfaceId: number;
  bytes: Uint8Array;
}

export class Pair {
  now = 0;
  packets = 0;
  readonly hosts: [Host, Host];
  readonly listener: Listener;
  /** Open connections of both sides, as the applications hold them. */
  readonly held: Connection[] = [];
  hook: ((packet: Uint8Array) => readonly Uint8Array[]) | null;
  private readonly options: PairOptions;
  private readonly chance: Chance;
  private flying: Flying[] = [];
  private readonly out: Uint8Array = new Uint8Array(70_000);
  private readonly scratch: Uint8Array = new Uint8Array(40_000);
  private stuck = 0;

  constructor(options: PairOptions) {
    this.options = options;
    this.chance = options.chance;
    this.hook = options.hook ?? null;
    const config = { sendBufferBytes: 100_000, receiveBufferBytes: 100_000, ...options.config };
    const make = (side: number): Host => {
      const host = new Host({ entropy: seededEntropy(this.chance.next()), config });
      for (const address of ADDRESSES[side]) {
        host.addInterface({ address, checksumOffload: options.checksumOffload });
      }
      return host;
    };
    this.hosts = [make(0), make(1)];
    const advertise = [{ address: ADDRESSES[1][1] }];
    this.listener = this.hosts[1].listen({ port: PORT, multipath: options.multipath, advertise });
  }

  connect(): Connection {
    const connection = this.hosts[0].connect(
      {
        remote: { address: ADDRESSES[1][0], port: PORT },
        multipath: this.options.multipath,
        paths: [{ interfaceId: 1 }, { interfaceId: 2, remote: { address: ADDRESSES[1][1], port: PORT } }],
        checksum: this.chance.oneIn(3),
      },
      this.now,
    );
    this.held.push(connection);
    this.flush();
    return connection;
  }

  /** Packets, deadlines and applications in turn; there is always a connection. */
  live(turns: number): void {
    for (let n = 0; n < turns; n++) {
      if (this.held.length === 0 || this.chance.oneIn(150)) this.connect();
      const moved = this.step();
      if (!moved || this.chance.oneIn(3)) this.act();
    }
  }

  /** One packet, one deadline or one act of an application; false when nothing is left to happen. */
  step(): boolean {
    const packet = this.flying.length > 0 ? this.flying[0].at : Infinity;
    const timer = Math.min(this.hosts[0].nextDeadline(), this.hosts[1].nextDeadline());
    const next = Math.min(packet, timer);
    if (next === Infinity) return false;
    this.stuck = next > this.now ? 0 : this.stuck + 1;
    assert.ok(this.stuck < 20_000, 'time stands still: a deadline does not move');
    this.now = Math.max(this.now, next);
    if (packet <= timer) {
      const { to, interfaceId, bytes } = this.flying.shift() as Flying;
      this.hosts[to].receive(interfaceId, bytes, 0, bytes.length, this.now);
    } else {
      for (const host of this.hosts) if (host.nextDeadline() <= this.now) host.expire(this.now);
    }
    this.flush();
    return true;
  }

  /** Something an application may do at any time. */
  act(): void {
    const { chance, now } = this;
    if (this.held.length === 0) return;
    const connection = chance.pick(this.held);
    switch (chance.below(12)) {
      case 0:
        connection.shutdown(now);
        break;
      case 1:
        if (chance.oneIn(4)) this.drop(connection, () => connection.close(now));
        break;
      case 2:
        if (chance.oneIn(8)) this.drop(connection, () => connection.abort(now));
        break;
      case 3:
        connection.setNoDelay(chance.oneIn(2), now);
        break;
      case 4:
      case 5:
      case 6:
        connection.write(this.scratch, 0, chance.below(this.scratch.length), now);
        break;
      default:
        connection.read(this.scratch, 0, chance.below(this.scratch.length), now);
    }
    this.flush();
  }

  abortAll(): void {
    for (const connection of this.held) connection.abort(this.now);
    this.held.length = 0;
    this.listener.close(this.now);
    for (const host of this.hosts) for (const connection of [...host.connections]) connection.abort(this.now);
    this.flush();
  }

  /** Everything ends by itself: no packet, no deadline, no connection is left. */
  assertQuiet(): void {
    this.hook = null;
    const end = this.now + 3_600_000;
    for (let steps = 0; this.step(); steps++) {
      assert.ok(this.now < end && steps < 100_000, 'a connection lives on after its abort');
    }
    for (const host of this.hosts) {
      assert.equal(host.nextDeadline(), Infinity, 'a timer is left');
      assert.equal([...host.connections].length, 0, 'a connection is left');
    }
    assert.equal(this.listener.halfOpen, 0, 'a half-open connection is still counted');
  }

  private drop(connection: Connection, end: () => void): void {
    end();
    this.held.splice(this.held.indexOf(connection), 1);
  }

  private flush(): void {
    for (const [side, host] of this.hosts.entries()) {
      for (let end = host.nextReady(); end !== undefined; end = host.nextReady()) {
        if ((end.takeEvents() & Ready.ACCEPT) !== 0) {
          for (let c = this.listener.accept(); c !== undefined; c = this.listener.accept()) this.held.push(c);
        } else if ('nextNotice' in end) {
          while (end.nextNotice() !== undefined);
        }
      }
      for (let n = 0; ; n++) {
        assert.ok(n < PACKETS_AT_ONCE, 'a host does not stop sending');
        const length = host.transmit(this.out, 0, this.now);
        if (length === 0) break;
        this.send(side, host.transmitInterface, this.out.slice(0, length));
      }
      while (host.nextReleased() !== undefined);
    }
  }

  private send(side: number, interfaceId: number, packet: Uint8Array): void {
    for (const bytes of this.hook?.(packet) ?? [packet]) {
      this.packets++;
      const at = this.now + (interfaceId === 1 ? 5 : 12) + (this.chance.oneIn(10) ? this.chance.below(8) : 0);
      let i = this.flying.length;
      while (i > 0 && this.flying[i - 1].at > at) i--;
      this.flying.splice(i, 0, { at, to: 1 - side, interfaceId, bytes });
    }
    assert.ok(this.flying.length < 50_000, 'more packets are in flight than any window allows');
  }
}
