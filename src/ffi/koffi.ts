// The package koffi as foreign function interface, with its libuv polling.
//
// Decides: what of koffi is relied on. `koffi.node.poll` is not documented and may change, hence the pinned
// version; it is wrapped here and nowhere else. A poll handle that is garbage collected stops without a word,
// so every open one is kept in a set; libuv asserts when a descriptor is closed before its handle.
// Walk: load.ts tries this after node-ffi.ts.

import { createRequire } from 'node:module';
import type { ArgumentType, Foreign, Memory, NativeFunction, Poll } from './foreign.ts';

/** koffi, when it is installed; throws what loading it threw. */
export function koffiForeign(): Foreign {
  return new KoffiForeign(createRequire(import.meta.url)('koffi') as Koffi);
}

/** The part of koffi that is used; its own types would make every user install it. */
interface Koffi {
  load(path: null): { func(name: string, result: string, parameters: string[]): NativeFunction };
  errno(): number;
  alloc(type: string, count: number): object;
  address(memory: object): bigint;
  view(memory: object, bytes: number): ArrayBuffer;
  readonly node: { poll(fd: number, options: { readable: boolean }, onEvent: () => void): KoffiPoll };
}

interface KoffiPoll {
  close(): void;
  unref(): void;
}

class KoffiForeign implements Foreign {
  readonly provider = 'koffi' as const;
  readonly #koffi: Koffi;
  readonly #process: ReturnType<Koffi['load']>;

  constructor(koffi: Koffi) {
    this.#koffi = koffi;
    this.#process = koffi.load(null);
    // Node turns the event loop once more when JavaScript is over; an event then would crash the process.
    process.once('exit', closeHandles);
  }

  call(symbol: string, parameters: readonly ArgumentType[]): NativeFunction {
    return this.#process.func(
      symbol,
      'int',
      parameters.map(type => C_TYPES[type]),
    );
  }

  /** Is never given back: koffi frees nothing by itself. */
  allocate(bytes: number): Memory {
    const memory = this.#koffi.alloc('uint8_t', bytes);
    return {
      bytes: new Uint8Array(this.#koffi.view(memory, bytes)),
      address: this.#koffi.address(memory),
    };
  }

  errno(): number {
    return this.#koffi.errno();
  }

  poll(fd: number, onReadable: () => void): Poll {
    const handle = this.#koffi.node.poll(fd, { readable: true }, onReadable);
    handle.unref();
    openHandles.add(handle);
    return {
      close: () => {
        if (openHandles.delete(handle)) handle.close();
      },
    };
  }
}

const C_TYPES: Readonly<Record<ArgumentType, string>> = {
  i32: 'int',
  u32: 'unsigned int',
  size: 'size_t',
  bytes: 'void *',
  text: 'const char *',
};

function closeHandles(): void {
  for (const handle of openHandles) handle.close();
  openHandles.clear();
}

const openHandles: Set<KoffiPoll> = new Set();
