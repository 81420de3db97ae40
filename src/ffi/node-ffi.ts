// Node's own foreign function interface (node:ffi, built in from Node 26 on).
//
// Decides: how its gaps are filled. It has no errno: the address of the C library's errno of this thread is
// asked for once, and read after each call. It has no polling: see waker.ts.
// Walk: load.ts tries this first.

import type { ArgumentType, Foreign, Memory, NativeFunction, Poll } from './foreign.ts';
import { wakeWhenReadable } from './waker.ts';

/** node:ffi, where this Node has it and lets it be used. */
export function nodeForeign(): Foreign | undefined {
  const ffi = process.getBuiltinModule?.('node:ffi') as NodeFfi | undefined;
  return ffi === undefined ? undefined : new NodeForeign(ffi);
}

interface NodeFfi {
  dlopen(
    path: null,
    definitions: Record<string, { arguments: string[]; return: string }>,
  ): { functions: Record<string, (...values: unknown[]) => unknown> };
  getInt32(address: bigint, offset: number): number;
  getRawPointer(memory: Uint8Array): bigint;
}

class NodeForeign implements Foreign {
  readonly provider = 'node:ffi' as const;
  readonly #ffi: NodeFfi;
  readonly #errnoAddress: bigint;
  readonly #duplicate: NativeFunction;

  constructor(ffi: NodeFfi) {
    this.#ffi = ffi;
    const symbol = ERRNO_SYMBOLS[process.platform] ?? '__errno_location';
    const library = ffi.dlopen(null, { [symbol]: { arguments: [], return: 'pointer' } });
    this.#errnoAddress = library.functions[symbol]() as bigint;
    this.#duplicate = this.call('dup', ['i32']);
  }

  call(symbol: string, parameters: readonly ArgumentType[]): NativeFunction {
    const definition = { arguments: parameters.map(type => FFI_TYPES[type]), return: 'int32' };
    return this.#ffi.dlopen(null, { [symbol]: definition }).functions[symbol] as NativeFunction;
  }

  allocate(bytes: number): Memory {
    // V8 keeps what is in an ArrayBuffer outside its heap, where nothing moves.
    const memory = new Uint8Array(new ArrayBuffer(bytes));
    return { bytes: memory, address: this.#ffi.getRawPointer(memory) };
  }

  errno(): number {
    return this.#ffi.getInt32(this.#errnoAddress, 0);
  }

  poll(fd: number, onReadable: () => void): Poll {
    // The waker closes the descriptor it was given, so it is given one of its own.
    const own = this.#duplicate(fd);
    if (own < 0) throw new Error(`a descriptor could not be duplicated (errno ${this.errno()})`);
    return wakeWhenReadable(own, onReadable);
  }
}

/**
 * `size` as a 32-bit number: the 64-bit register it travels in is cleared above it on every platform there
 * is, and 64 bits would have to be a BigInt, made anew for every call.
 */
const FFI_TYPES: Readonly<Record<ArgumentType, string>> = {
  i32: 'int32',
  u32: 'uint32',
  size: 'uint32',
  bytes: 'buffer',
  text: 'string',
};

const ERRNO_SYMBOLS: Readonly<Record<string, string>> = { darwin: '__error', freebsd: '__error' };
