// Decides which TCP blocks exist and which ports they use: the demultiplexing table, ephemeral ports (RFC
// 6056) and the ports that have become free again. Before: connections ask for a block. After: host.receive
// finds it.

import { type Environment, type Extension, type NetworkInterface, Tcb } from '../tcp/index.ts';
import type { Config } from './config.ts';
import type { Connection } from './connection.ts';
import { Demultiplexer } from './demux.ts';
import { InitialSequence } from './initial-sequence.ts';

/** Where a block runs. */
export interface FlowEndpoint {
  networkInterface: NetworkInterface;
  /** 0 = an ephemeral one. */
  localPort: number;
  remoteWords: Int32Array;
  remotePort: number;
}

export interface FlowOptions extends FlowEndpoint {
  env: Environment;
  extension: Extension;
  now: number;
}

export interface LocalPort {
  interfaceId: number;
  localPort: number;
}

export class Flows {
  readonly demux: Demultiplexer = new Demultiplexer();
  private readonly released: LocalPort[] = [];
  private readonly initialSequence: InitialSequence;
  private readonly env: Environment<Config>;
  /** True for ports that a listener or a bound socket holds. */
  private readonly isReserved: (port: number) => boolean;

  constructor(options: { env: Environment<Config>; isReserved: (port: number) => boolean }) {
    this.env = options.env;
    this.isReserved = options.isReserved;
    this.initialSequence = new InitialSequence(options.env.entropy);
  }

  /** Creates and registers a TCP block; null when the interface has gone or no port is free. */
  open(connection: Connection, options: FlowOptions): Tcb | null {
    const { networkInterface, remoteWords, remotePort } = options;
    if (!networkInterface.up) return null;
    const localPort = options.localPort > 0 ? options.localPort : this.ephemeralPort(options);
    if (localPort === 0) return null;
    if (this.demux.has(networkInterface.id, localPort, remoteWords, remotePort)) return null;
    const tcb = new Tcb({
      env: options.env,
      networkInterface,
      localPort,
      remoteWords,
      remotePort,
      iss: this.initialSequence.next({ ...options, localPort }),
      extension: options.extension,
      owner: connection,
    });
    this.demux.add(tcb);
    return tcb;
  }

  /** A block is done with; its port is reported once no other block uses it. */
  release(tcb: Tcb): void {
    if (!this.demux.remove(tcb) || tcb.passive) return;
    this.released.push({ interfaceId: tcb.networkInterface.id, localPort: tcb.localPort });
  }

  /** A local port that no connection uses any more. */
  nextReleased(): LocalPort | undefined {
    return this.released.shift();
  }

  /** RFC 6056: a random start, then the next free one. */
  private ephemeralPort({ networkInterface, remoteWords, remotePort }: FlowEndpoint): number {
    const { ephemeralFirst, ephemeralLast } = this.env.config;
    const range = ephemeralLast - ephemeralFirst + 1;
    const start = this.env.random32() % range;
    for (let i = 0; i < range; i++) {
      const port = ephemeralFirst + ((start + i) % range);
      const taken =
        this.isReserved(port) || this.demux.has(networkInterface.id, port, remoteWords, remotePort);
      if (!taken) return port;
    }
    return 0;
  }
}
