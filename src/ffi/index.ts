// Calls into the C library of the process: loaded on first use, from whatever provides it.

export type { ArgumentType, Foreign, Memory, NativeFunction, Poll } from './foreign.ts';
export { koffiForeign } from './koffi.ts';
export { foreign, load } from './load.ts';
export { nodeForeign } from './node-ffi.ts';
export { newTcpHandle, type TcpHandle } from './tcp-handle.ts';
