// Decides what epoll tells of the sockets of a script: by level, by edge (once for each piece of news), or once.
// Before: calls.

import { constants } from '../../../src/host/index.ts';
import { type Calls, fieldsOf, flagsOf, numeric } from './calls.ts';
import type { CallEvent } from './script.ts';

interface Watch {
  events: number;
  /** What was ready at the last look, and how much news there had been. */
  told: number;
  isOver: boolean;
}

export class Epoll {
  readonly watches: Map<number, Watch> = new Map();
}

export function epollControl(calls: Calls, call: CallEvent): number {
  const epoll = calls.epolls.get(numeric(call.args[0]));
  const fd = numeric(call.args[2]);
  if (epoll === undefined) return -9;
  const operation = call.args[1];
  const name = typeof operation === 'object' && 'name' in operation ? operation.name : '';
  if (name === 'EPOLL_CTL_DEL') return epoll.watches.delete(fd) ? 0 : -2;
  const events = flagsOf(fieldsOf(call.args[3]).get('events'));
  epoll.watches.set(fd, { events, told: 0, isOver: false });
  return 0;
}

export function epollWait(calls: Calls, call: CallEvent): number | null {
  const epoll = calls.epolls.get(numeric(call.args[0]));
  if (epoll === undefined) return -9;
  let count = 0;
  let first = 0;
  for (const [fd, watch] of epoll.watches) {
    const ready = calls.pollBits(fd) & (watch.events | constants.POLLERR | constants.POLLHUP) & 0xffff;
    const isEdge = (watch.events & EDGE) !== 0;
    const news = isEdge ? ready & ~watch.told : ready;
    watch.told = ready;
    if (watch.isOver || news === 0) continue;
    if ((watch.events & ONCE) !== 0) watch.isOver = true;
    if (count === 0) first = ready;
    count++;
  }
  const wanted = fieldsOf(call.args[1]).get('events');
  if (count > 0 && wanted !== undefined && flagsOf(wanted) !== first) {
    calls.difference = `events is ${first}, not ${flagsOf(wanted)}`;
  }
  return count === 0 && numeric(call.args[3]) !== 0 ? null : count;
}

const EDGE = 1 << 31;
const ONCE = 1 << 30;
