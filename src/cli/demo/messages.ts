// What the conductor and its three processes say to each other, as JSON over Node's channel between parent
// and child. Times are milliseconds of the machine's monotonic clock (`stageMs`), the same in every process
// of it.

/** To the server: listen. To the client: send. To the relay: join them. */
export interface ServerOrders {
  bytes: number;
}

export interface ClientOrders {
  file: string;
  bytes: number;
  /** One for each network, the first for the connection to begin on. */
  paths: { name: string; port: number }[];
  /** A file to record packets into. */
  pcap?: string;
}

export interface RelayOrders {
  serverPort: number;
}

export interface PathReport {
  name: string;
  state: string;
  rttMs: number;
  /** Sent on all subflows this path has had. */
  bytes: number;
  reinjectedBytes: number;
}

export type Fallback = { cause: string; seenBy: string } | null;

export type Message =
  | { type: 'orders'; orders: ServerOrders | ClientOrders | RelayOrders }
  | { type: 'listening'; port: number }
  | { type: 'delivered'; bytes: number; atMs: number }
  | {
      type: 'received';
      bytes: number;
      sha256: string;
      firstMs: number;
      lastMs: number;
      longestStallMs: number;
    }
  | { type: 'ready'; ports: number[]; warnings: string[] }
  | { type: 'switch'; path: number; up: boolean }
  | { type: 'switched'; path: number; up: boolean; atMs: number }
  | { type: 'paths'; paths: PathReport[] }
  | { type: 'sent'; bytes: number; sha256: string; paths: PathReport[]; fallback: Fallback }
  | { type: 'failed'; reason: string };

export type MessageOf<T extends Message['type']> = Extract<Message, { type: T }>;

/**
 * A clock all processes of the machine share: what `process.hrtime` counts does not depend on the process.
 */
export function stageMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
