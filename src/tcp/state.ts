// Decides which states a TCP connection may be in and which moves between them exist (RFC 9293 §3.3.2).
// LISTEN is not here: a listener is not a connection (host/listener). The table is also the documentation.

export const State = {
  CLOSED: 0,
  SYN_SENT: 1,
  SYN_RECEIVED: 2,
  ESTABLISHED: 3,
  FIN_WAIT_1: 4,
  FIN_WAIT_2: 5,
  CLOSE_WAIT: 6,
  CLOSING: 7,
  LAST_ACK: 8,
  TIME_WAIT: 9,
} as const;

export type State = (typeof State)[keyof typeof State];

export const STATE_NAMES: readonly string[] = [
  'CLOSED',
  'SYN-SENT',
  'SYN-RECEIVED',
  'ESTABLISHED',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
  'CLOSE-WAIT',
  'CLOSING',
  'LAST-ACK',
  'TIME-WAIT',
];

/** Legal moves: from state → to states (RFC 9293 Figure 5, plus every state → CLOSED by reset or timeout). */
export const EDGES: Readonly<Record<number, readonly State[]>> = {
  [State.CLOSED]: [State.SYN_SENT, State.SYN_RECEIVED],
  [State.SYN_SENT]: [State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSED],
  [State.SYN_RECEIVED]: [State.ESTABLISHED, State.FIN_WAIT_1, State.CLOSED],
  [State.ESTABLISHED]: [State.FIN_WAIT_1, State.CLOSE_WAIT, State.CLOSED],
  [State.FIN_WAIT_1]: [State.FIN_WAIT_2, State.CLOSING, State.TIME_WAIT, State.CLOSED],
  [State.FIN_WAIT_2]: [State.TIME_WAIT, State.CLOSED],
  [State.CLOSE_WAIT]: [State.LAST_ACK, State.CLOSED],
  [State.CLOSING]: [State.TIME_WAIT, State.CLOSED],
  [State.LAST_ACK]: [State.CLOSED],
  [State.TIME_WAIT]: [State.CLOSED],
};

/** True in the states in which both sequence numbers are known. */
export function isSynchronized(state: State): boolean {
  return state >= State.ESTABLISHED;
}

/** True while the local side may still send data. */
export function maySend(state: State): boolean {
  return state === State.ESTABLISHED || state === State.CLOSE_WAIT;
}

/** True while the peer may still send data. */
export function mayReceive(state: State): boolean {
  return state === State.ESTABLISHED || state === State.FIN_WAIT_1 || state === State.FIN_WAIT_2;
}
