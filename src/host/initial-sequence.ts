// Decides initial sequence numbers: a clock plus a keyed hash of the connection's four values (RFC 6528 §3).

import type { Entropy, NetworkInterface } from '../tcp/index.ts';

export class InitialSequence {
  private readonly entropy: Entropy;
  private readonly input: Uint8Array = new Uint8Array(16 + 36 + 4);
  private readonly view: DataView = new DataView(this.input.buffer);
  private seeded = false;

  constructor(entropy: Entropy) {
    this.entropy = entropy;
  }

  /** The number for a new connection at `now` ms. */
  next(options: {
    networkInterface: NetworkInterface;
    localPort: number;
    remoteWords: Int32Array;
    remotePort: number;
    now: number;
  }): number {
    if (!this.seeded) {
      this.seeded = true;
      this.entropy.randomBytes(this.input.subarray(0, 16));
    }
    for (let i = 0; i < 4; i++) {
      this.view.setInt32(16 + i * 4, options.networkInterface.words[i]);
      this.view.setInt32(32 + i * 4, options.remoteWords[i]);
    }
    this.view.setUint16(48, options.localPort);
    this.view.setUint16(50, options.remotePort);
    const digest = this.entropy.sha256(this.input);
    const hash = ((digest[0] << 24) | (digest[1] << 16) | (digest[2] << 8) | digest[3]) >>> 0;
    // M counts every 4 µs; the clock may start anywhere.
    return (Math.floor(options.now * 250) + hash) >>> 0;
  }
}
