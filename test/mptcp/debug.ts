// Prints packets of a world as one line each; for whoever hunts a failure.
import { Flag, Mp } from '../../src/wire/index.ts';
import type { World } from './world.ts';

export function print(world: World, last = 60): void {
  for (const p of world.log.slice(-last)) {
    const s = p.segment;
    const flags = Object.entries(Flag)
      .filter(([, v]) => (s.flags & v) !== 0)
      .map(([k]) => k)
      .join('|');
    const mp = Object.entries(Mp)
      .filter(([, v]) => (s.mp & v) !== 0)
      .map(([k]) => k)
      .join('|');
    const dss =
      (s.mp & Mp.DSS) !== 0
        ? ` f=${s.dssFlags} dack=${s.dataAckLo} dsn=${s.dsnLo} ssn=${s.ssn} len=${s.dataLength}`
        : '';
    console.log(
      `${p.at.toFixed(1)} ${p.from === 'client' ? '>' : '<'}${p.path}${p.lost ? ' LOST' : ''} ${flags} seq=${s.seq} ack=${s.ack} n=${s.payloadLength} w=${s.window} ${mp}${dss}`,
    );
  }
}
