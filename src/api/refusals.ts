// When the network's "port unreachable" is believed about an established connection.
//
// Decides: a peer whose process was killed cannot send a reset, its kernel only says that the port is closed.
// Such a message can be forged by whoever guesses a port, so it counts only when everything agrees: it comes
// again and again, for every subflow there is, while we wait for an answer, and nothing arrives meanwhile.
// Read: RFC 5927 §4 and §6 (why not at once), RFC 1122 §4.2.3.9.
// Walk: api/session asks, link/udp heard it.

import type { Connection } from '../host/index.ts';

/** The refusals of one connection. */
export class Refusals {
  readonly #ports: Set<number> = new Set();
  #count = 0;
  #sinceMs = 0;
  #receivedBytes = -1;
  #unacknowledgedBytes = -1;

  /** One more refusal, for a local port; true when the peer has to be taken for gone. */
  note(
    localPort: number,
    connection: Pick<Connection, 'multipath' | 'unacknowledgedBytes'>,
    now: number,
  ): boolean {
    const { subflows } = connection.multipath();
    let receivedBytes = 0;
    for (const subflow of subflows) receivedBytes += subflow.bytesReceived;
    const { unacknowledgedBytes } = connection;
    const progress = receivedBytes !== this.#receivedBytes || unacknowledgedBytes < this.#unacknowledgedBytes;
    this.#receivedBytes = receivedBytes;
    this.#unacknowledgedBytes = unacknowledgedBytes;
    if (progress) {
      this.#ports.clear();
      this.#count = 0;
      this.#sinceMs = now;
    }
    this.#ports.add(localPort);
    this.#count++;
    const waiting = unacknowledgedBytes > 0 || subflows.every(subflow => subflow.state !== 'active');
    return (
      waiting &&
      this.#count >= LEAST_REFUSALS &&
      now - this.#sinceMs >= LEAST_MS &&
      subflows.every(({ state, local }) => state === 'closed' || this.#ports.has(local.port))
    );
  }
}

const LEAST_REFUSALS = 3;
const LEAST_MS = 1000;
