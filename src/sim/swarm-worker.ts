// One worker thread of the swarm: takes a seed, gives back its result.
// Before it: swarm.ts posts seeds. After it: the same.

import { parentPort } from 'node:worker_threads';
import { runSeed } from './swarm.ts';

parentPort?.on('message', (seed: number) => {
  parentPort?.postMessage(runSeed(seed));
});
