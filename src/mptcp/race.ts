// Decides what is done about a first SYN that is lost, or refused, because of its option: a SYN without it
// sets out from another port, and whichever is answered first is the connection. Read: RFC 8684 §3.1 ("it is
// up to local policy"), §3.9.3.
// From another port, since a server that heard the first one answers a plain repetition of it with
// MP_CAPABLE again. Before: opening, subflow-life (a refusal). After: handshake, which ends it.

import { type CloseReason, State } from '../tcp/index.ts';
import { formatWords } from '../wire/index.ts';
import type { MultipathConnection } from './connection.ts';
import { addSubflow } from './opening.ts';
import type { PlainCause, Subflow } from './subflow.ts';
import { applyKeepAlive, drop } from './subflow-life.ts';

/** Id of the flow asked for; those of the path manager begin with 1. */
export const RACE_FLOW = 0;

export class SynRace {
  /** When the plain SYN sets out; Infinity once it has. */
  dueMs: number;
  private readonly connection: MultipathConnection;
  /** The subflow that asks for Multipath TCP. */
  private readonly first: Subflow;
  private readonly suspect: boolean;
  /** What became of its SYN, when it was refused. */
  private refusal: CloseReason | null = null;
  /** The plain SYN has set out, or waits for the link to open a port. */
  private isOn = false;

  /** `suspect`: the network may drop the option, so the plain SYN does not wait. */
  constructor(connection: MultipathConnection, first: Subflow, suspect: boolean, now: number) {
    this.connection = connection;
    this.first = first;
    this.suspect = suspect;
    this.dueMs = suspect ? now : now + connection.env.config.plainSynMs;
  }

  expire(now: number): void {
    if (this.dueMs <= now) this.start(now);
  }

  /** A SYN was refused, or given up. True: another one is on its way, or will be. */
  outlives(subflow: Subflow, reason: CloseReason, now: number): boolean {
    if (subflow !== this.first || reason.code !== 'ECONNREFUSED') return false;
    this.refusal = reason;
    if (!this.isOn) this.start(now);
    return !this.connection.isDone;
  }

  /** The link has opened a port for the plain SYN. */
  flowOpened(localPort: number, now: number): boolean {
    return this.open(localPort, now);
  }

  /** It could not: what became of the first SYN decides. */
  flowFailed(): void {
    if (this.refusal !== null) this.connection.finish(this.refusal);
  }

  private get cause(): PlainCause {
    if (this.suspect) return 'network-remembered';
    return this.refusal === null ? 'syn-unanswered' : 'syn-refused';
  }

  private start(now: number): void {
    const { connection, first } = this;
    const { networkInterface, remoteWords, remotePort } = first.tcb;
    this.dueMs = Infinity;
    this.isOn = true;
    const address = formatWords(remoteWords);
    const remote = { address, port: remotePort };
    const request = { id: RACE_FLOW, interfaceId: networkInterface.id, remote };
    if (!connection.owner.requestFlow(request)) this.open(0, now);
  }

  private open(localPort: number, now: number): boolean {
    const { connection, first } = this;
    const { networkInterface, remoteWords, remotePort } = first.tcb;
    const subflow = addSubflow(
      connection,
      { networkInterface, localPort, remoteWords, remotePort },
      {
        initial: true,
        plainCause: this.cause,
        join: null,
        localAddressId: first.localAddressId,
        name: first.name,
        backup: first.localBackup,
        cost: first.cost,
      },
      now,
    );
    if (subflow === null) {
      this.flowFailed();
      return false;
    }
    connection.env.counters.MPCapableSYNTXDrop++;
    // DEVIATION (RFC 6298 §2.1: a second for the first repetition): the SYN with the option is repeated just
    // before the one without. Where it was lost by chance, its answer still comes first; and one that is lost
    // twice beside one that is not says something about the network.
    if (first.tcb.state === State.SYN_SENT) first.tcb.synPending = true;
    applyKeepAlive(connection, subflow, now);
    subflow.tcb.open(now);
    return true;
  }
}

/** One SYN was answered: the other is taken back. An answer to it that is on its way gets a RST as well. */
export function raceWon(connection: MultipathConnection, winner: Subflow, now: number): void {
  if (connection.race === null) return;
  connection.race = null;
  for (const other of [...connection.subflows]) {
    if (other === winner) continue;
    connection.owner.withdraw(other.tcb, now);
    other.tcb.abort();
    drop(connection, other);
  }
}
