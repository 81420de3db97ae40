// What a process holds on to.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** MiB that are reachable. */
export function memoryMiB(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / 2 ** 20;
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
