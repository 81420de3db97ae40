// The process that is the networks: the emulator's relay in real time, and a switch for each path.
// Before: conductor.ts. After: emulator/udp-relay.ts.

import { startRelay } from '../../emulator/index.ts';
import { perform, report } from './actor.ts';
import { type Message, type RelayOrders, stageMs } from './messages.ts';
import { networks } from './networks.ts';

perform<RelayOrders>(async ({ serverPort }) => {
  const relay = await startRelay({
    paths: networks.map(({ name, forward, backward }) => ({ name, forward, backward })),
    server: { host: '127.0.0.1', port: serverPort },
  });
  process.on('message', (message: Message) => {
    if (message.type !== 'switch') return;
    const { path, up } = message;
    relay.setUp(path, up);
    report({ type: 'switched', path, up, atMs: stageMs() });
  });
  report({ type: 'ready', ports: relay.ports, warnings: [...relay.warnings] });
});
