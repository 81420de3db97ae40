// Decides the shape of a scheduling policy. A policy sees paths, never TCP blocks, so that a later carrier
// can use it unchanged. It is asked only when bytes can leave now (pull): what it picks is sent at once,
// nothing is parked.

/** A path as policies see it. */
export interface Path {
  /** Stable number within the connection. */
  readonly id: number;
  readonly srttMs: number;
  readonly rttVarMs: number;
  readonly cwndBytes: number;
  readonly inFlightBytes: number;
  /** Bytes that congestion window and peer's window admit now. */
  readonly freeBytes: number;
  /** Either side wants it used only when no regular path is left (RFC 8684 §3.3.8). */
  readonly backup: boolean;
  /** Price the application put on it; policies that do not know prices ignore it. */
  readonly cost: number;
  /** Usable: handshake done and heard from lately. */
  readonly usable: boolean;
}

export interface Scheduler {
  readonly name: string;
  /** The path for the next bytes; null = none now. `paths` holds all subflows, usable or not. */
  pick(paths: readonly Path[]): Path | null;
}
