// What this package asks of a foreign function interface, whichever provides it: calls into the C library of
// the process, errno of the last one, memory with an address, and being told when a descriptor is readable.
//
// Decides: the few types that calls may have. 64-bit integers are left out on purpose – one provider wants
// BigInts for them – and are not needed: sizes stay far below 2³² and results below 2³¹.
// Walk: link/tun (and kernel) ask load.ts for one of these; koffi.ts and node-ffi.ts provide it.

/**
 * `size` is C's size_t, as a number below 2³². `bytes` is the address of a Uint8Array, valid during the call.
 */
export type ArgumentType = 'i32' | 'u32' | 'size' | 'bytes' | 'text';

/** A C function. Its result is the low 32 bits of what it returns, signed. */
export type NativeFunction = (...values: (number | string | Uint8Array)[]) => number;

/** A foreign function interface. */
export interface Foreign {
  readonly provider: 'node:ffi' | 'koffi';
  /** A function of the process by its symbol. Throws when there is no such symbol. */
  call(symbol: string, parameters: readonly ArgumentType[]): NativeFunction;
  /** Memory that stays where it is, and its address: for structures that hold pointers. */
  allocate(bytes: number): Memory;
  /** errno of the last call; to be read before anything else happens. */
  errno(): number;
  /**
   * Calls `onReadable` in the event loop whenever the descriptor is readable, or broken, and until it has
   * been read empty. Does not keep the process alive. Must be closed before the descriptor is; one per
   * descriptor.
   */
  poll(fd: number, onReadable: () => void): Poll;
}

/** Memory that the C library may be told of in a structure. */
export interface Memory {
  readonly bytes: Uint8Array;
  readonly address: bigint;
}

/** A descriptor being watched. */
export interface Poll {
  close(): void;
}
