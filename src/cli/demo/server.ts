// The receiving process: one connection, a hash of what comes in, and when it came.
// Before: conductor.ts. After: api/server.

import { createHash } from 'node:crypto';
import { createServer, type Socket } from '../../api/index.ts';
import { perform, report } from './actor.ts';
import { type ServerOrders, stageMs } from './messages.ts';

perform<ServerOrders>(async ({ bytes: expectedBytes }) => {
  const server = createServer({ allowHalfOpen: true }, socket => {
    server.close();
    receive(socket, expectedBytes).catch((error: Error) => report({ type: 'failed', reason: error.message }));
  });
  server.on('error', (error: Error) => report({ type: 'failed', reason: error.message }));
  server.listen(0, '127.0.0.1', () => {
    report({ type: 'listening', port: (server.address() as { port: number }).port });
  });
});

async function receive(socket: Socket, expectedBytes: number): Promise<void> {
  const hash = createHash('sha256');
  let bytes = 0;
  let firstMs = 0;
  let lastMs = 0;
  let longestStallMs = 0;
  let reportedMs = 0;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    const now = stageMs();
    if (bytes === 0) firstMs = now;
    else longestStallMs = Math.max(longestStallMs, now - lastMs);
    lastMs = now;
    bytes += chunk.length;
    hash.update(chunk);
    if (now - reportedMs >= reportEveryMs || bytes >= expectedBytes) {
      reportedMs = now;
      report({ type: 'delivered', bytes, atMs: now });
    }
  }
  const sha256 = hash.digest('hex');
  report({ type: 'received', bytes, sha256, firstMs, lastMs, longestStallMs });
  socket.end();
}

const reportEveryMs = 20;
