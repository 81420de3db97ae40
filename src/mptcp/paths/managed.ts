// Decides what one connection makes of the host's endpoints and limits, as Linux's in-kernel path manager
// does: announces, opens subflows, takes back. Once the connection is fully established, and at every change.
// Read: RFC 8684 §3.2, §3.4; ip-mptcp(8). Before: paths/endpoints, connection, signals. After: path-manager.

import { isIpv4 } from '../../wire/index.ts';
import type { MultipathConnection } from '../connection.ts';
import type { PathOptions } from '../observation.ts';
import { announce, maySignal } from '../signals.ts';
import { closeSubflow } from '../subflow-life.ts';
import type { EndpointEntry, Endpoints } from './endpoints.ts';

export class Managed {
  readonly endpoints: Endpoints;
  private readonly connection: MultipathConnection;
  /** Endpoints that were announced, or that a subflow was planned from. */
  private readonly announced: Set<number> = new Set();
  private readonly planned: Set<number> = new Set();
  /** Announced addresses of the peer that were taken. */
  accepted = 0;

  constructor(connection: MultipathConnection, endpoints: Endpoints) {
    this.connection = connection;
    this.endpoints = endpoints;
    // Linux announces one address at a time.
    connection.signals.mostWaiting = 1;
    endpoints.follow(this);
  }

  /** Subflows of the connection, the first included. */
  get mostSubflows(): number {
    return this.endpoints.limits.subflows + 1;
  }

  /** Endpoints that the connection uses as an opener of subflows. */
  get localUsed(): number {
    return this.planned.size;
  }

  /** Uses what is there and is not used yet. */
  work(now: number): void {
    const { connection, endpoints } = this;
    if (!maySignal(connection)) return;
    for (const entry of endpoints.list) {
      if (entry.signal && !this.announced.has(entry.id)) {
        this.announced.add(entry.id);
        announce(connection, entry);
      }
    }
    if (connection.confirmed) for (const entry of endpoints.list) if (entry.subflow) this.open(entry, now);
    connection.paths.run(now);
    connection.owner.wake();
  }

  /** An endpoint is no more. */
  removed(entry: EndpointEntry, now: number): void {
    const { connection } = this;
    const announced = this.announced.delete(entry.id) && connection.signals.wasAnnounced(entry.id);
    this.planned.delete(entry.id);
    const networkInterface = connection.owner.interfaceOfAddress(entry.words);
    const used = connection.subflows.filter(({ tcb, localAddressId }) =>
      entry.port === 0 ? tcb.networkInterface === networkInterface : localAddressId === entry.id,
    );
    const ids = new Set(used.map(({ localAddressId }) => localAddressId));
    if (announced) ids.add(entry.id);
    const { removeAddrRetries } = connection.env.config;
    for (const id of ids) connection.signals.remove(id, removeAddrRetries);
    if (entry.port === 0 && networkInterface !== null) connection.paths.removeInterface(networkInterface.id);
    for (const subflow of used) closeSubflow(connection, subflow, now);
    connection.owner.wake();
  }

  /** Flags of an endpoint have changed. */
  changed(entry: EndpointEntry, now: number): void {
    const { connection } = this;
    for (const subflow of [...connection.subflows]) {
      const isFrom = subflow.tcb.networkInterface.words.every((word, i) => word === entry.words[i]);
      if (isFrom) connection.setBackup(subflow.id, entry.backup, now);
    }
    if (entry.fullmesh && this.planned.delete(entry.id)) this.work(now);
    connection.owner.wake();
  }

  /** From where an address that the peer announces is joined; null: it is not. */
  takes(words: Int32Array): PathOptions[] | null {
    const { connection, endpoints } = this;
    const { addAddrAccepted } = endpoints.limits;
    if (this.accepted >= addAddrAccepted || connection.subflows.length >= this.mostSubflows) return null;
    this.accepted++;
    const family = isIpv4(words[0], words[1], words[2]) ? 4 : 6;
    const full = endpoints.list.filter(entry => entry.fullmesh && entry.subflow && entry.family === family);
    const paths: PathOptions[] = [];
    for (const { words: from, backup } of full) {
      const found = connection.owner.interfaceOfAddress(from);
      if (found !== null) paths.push({ interfaceId: found.id, backup });
    }
    if (paths.length > 0) return paths;
    const first = connection.subflows.find(({ tcb }) => tcb.networkInterface.family === family);
    return first === undefined ? [] : [{ interfaceId: first.tcb.networkInterface.id }];
  }

  end(): void {
    this.endpoints.forget(this);
  }

  private open(entry: EndpointEntry, now: number): void {
    const { connection } = this;
    // A server cannot reach a client that only connects.
    if (!connection.client || this.planned.has(entry.id)) return;
    if (connection.paths.planned >= this.mostSubflows) return;
    const networkInterface = connection.owner.interfaceOfAddress(entry.words);
    if (networkInterface === null) return;
    this.planned.add(entry.id);
    const first = connection.subflows.find(({ initial }) => initial);
    if (first?.tcb.networkInterface === networkInterface) {
      // It carries the first subflow already.
      if (entry.backup) connection.setBackup(first.id, true, now);
    }
    const path = { interfaceId: networkInterface.id, backup: entry.backup };
    connection.paths.addManaged(path, entry.fullmesh, now);
  }
}
