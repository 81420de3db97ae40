// A host of ours that floods an emulated link in real time, in the process of the emulator: as the kernel's TCP does its
// work when a packet is handed to it, so does ours.

import { createHash, createHmac, randomFillSync } from 'node:crypto';
import { Driver } from '../../src/api/driver.ts';
import { HostEnd } from '../../src/emulator/link-emulator.ts';
import { type Config, type Connection, Host } from '../../src/host/index.ts';

export class OwnSender {
  readonly end: HostEnd;
  readonly #driver: Driver;
  readonly #interfaceId: number;
  #connection: Connection | undefined;

  constructor(address: string, congestion: string) {
    const config: Partial<Config> = { congestion: congestion as Config['congestion'] };
    this.#driver = new Driver(new Host({ entropy, config }));
    this.end = new HostEnd({ address, mtu: 1500 });
    this.#interfaceId = this.#driver.attach(this.end);
  }

  /** One plain TCP connection, which always has something to send. */
  flood(address: string, port: number): void {
    const { host } = this.#driver;
    const paths = [{ interfaceId: this.#interfaceId }];
    const connection = host.connect(
      { remote: { address, port }, paths, multipath: false },
      this.#driver.now(),
    );
    connection.userData = this;
    this.#connection = connection;
  }

  close(): void {
    this.#connection = undefined;
    this.#driver.release();
    this.end.close();
  }

  /** The driver's call. */
  ready(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    connection.takeEvents();
    if (connection.error !== null) throw new Error(`our flow ended: ${connection.error}`);
    while (connection.connected && connection.write(BLOCK, 0, BLOCK.length, this.#driver.now()) > 0);
  }
}

const BLOCK = new Uint8Array(65_536);
const entropy = {
  randomBytes: (into: Uint8Array): void => {
    randomFillSync(into);
  },
  sha256: (data: Uint8Array): Uint8Array => createHash('sha256').update(data).digest(),
  hmacSha256: (key: Uint8Array, data: Uint8Array): Uint8Array =>
    createHmac('sha256', key).update(data).digest(),
};
