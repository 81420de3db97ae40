// The entropy a simulated host is handed: bytes from a seeded generator, hashes from Node.
// Before it: world.ts makes one per host. After it: keys, nonces, ports and sequence numbers of the core.

import { createHash, createHmac } from 'node:crypto';
import type { Entropy } from '../host/index.ts';
import type { Random } from '../netmodel/index.ts';

/** Not for secrets: the same seed gives the same keys. */
export function seededEntropy(random: Random): Entropy {
  return {
    randomBytes: into => random.fill(into),
    sha256: data => createHash('sha256').update(data).digest(),
    hmacSha256: (key, data) => createHmac('sha256', key).update(data).digest(),
  };
}
