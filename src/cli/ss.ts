// `mptcp ss`: the Multipath TCP sockets of the kernel, with their subflows. Needs no rights.

import { type MultipathEntry, multipathSockets, type SubflowEntry } from '../kernel/index.ts';
import { atMostPositionals, readArguments } from './command-line.ts';
import { address } from './join.ts';

export const usage: string = `mptcp ss [--listening] [--json]

Lists the Multipath TCP sockets of the Linux kernel in this network namespace, those of all users, each with
its subflows: where they lead from and to, round-trip time, congestion window and bytes. Connections that fell
back to plain TCP are not among them. Older kernels show subflows to root only.

  --listening   only sockets that listen (default: all others)
  --json        as one JSON array, with everything the kernel tells

`;

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args, {
    listening: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  });
  atMostPositionals(positionals, 0);
  const sockets = multipathSockets().filter(socket => (socket.state === 'LISTEN') === values.listening);
  process.stdout.write(values.json ? `${JSON.stringify(sockets)}\n` : sockets.map(describe).join(''));
  return 0;
}

/** A socket in one line, and its subflows in one each. */
export function describe({ state, local, remote, info, subflows }: MultipathEntry): string {
  if (info === undefined) return `${state.padEnd(12)}${address(local)}\n`;
  const token = `token ${info.token.toString(16).padStart(8, '0')}`;
  const moved = `sent ${info.bytesSent} received ${info.bytesReceived}`;
  const again = info.bytesRetransmitted > 0 ? ` again ${info.bytesRetransmitted}` : '';
  const head = `${state.padEnd(12)}${address(local)} → ${address(remote)}  ${token}  ${moved}${again}\n`;
  return head + subflows.map(describeSubflow).join('');
}

function describeSubflow(subflow: SubflowEntry): string {
  const { state, local, remote, localId, remoteId, tcp } = subflow;
  const words = [
    subflow.joined ? 'joined' : 'first',
    ...(subflow.backupHere ? ['backup'] : []),
    ...(subflow.backupThere ? ['backup-of-peer'] : []),
    `id ${localId}/${remoteId}`,
    ...(tcp === undefined
      ? []
      : [
          `rtt ${tcp.rttMs} ms`,
          `cwnd ${tcp.cwndSegments}`,
          `sent ${tcp.bytesSent} received ${tcp.bytesReceived}`,
        ]),
  ];
  return `  ${state.padEnd(10)}${address(local)} → ${address(remote)}  ${words.join('  ')}\n`;
}
