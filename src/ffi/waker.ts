// Tells when a descriptor is readable without a native module: a TCP handle of Node's is opened on it, and
// reads into a buffer of no length.
//
// Decides: how libuv is made to report without reading. It polls any descriptor a stream handle was opened
// on; when that is readable it asks for memory, and given none it reports ENOBUFS, having read nothing, and
// polls on. Node's handles are not public; what is used of them has been the same from Node 20 to 26, and is
// checked when it is used.
// Walk: node-ffi.ts polls with this.

import { Socket } from 'node:net';
import type { Poll } from './foreign.ts';

/** Watches `fd`, which belongs to the watcher from now on and is closed with it. */
export function wakeWhenReadable(fd: number, onReadable: () => void): Poll {
  const handle = newStreamHandle();
  const opened = handle.open(fd);
  if (opened < 0) throw new Error(`the event loop cannot watch descriptor ${fd} (libuv error ${opened})`);
  handle.useUserBuffer(new Uint8Array(0));
  handle.onread = onReadable;
  const started = handle.readStart();
  if (started < 0) throw new Error(`the event loop cannot watch descriptor ${fd} (libuv error ${started})`);
  handle.unref();
  openHandles.add(handle);
  return {
    close: () => {
      if (!openHandles.delete(handle)) return;
      handle.onread = () => {};
      handle.close();
    },
  };
}

interface StreamHandle {
  open(fd: number): number;
  useUserBuffer(buffer: Uint8Array): void;
  onread: () => void;
  readStart(): number;
  unref(): void;
  close(): void;
}

/** A socket about to connect has a handle; destroyed in the same turn it never begins to. */
function newStreamHandle(): StreamHandle {
  const socket = new Socket();
  socket.on('error', () => {});
  socket.connect({ host: '127.0.0.1', port: 9 });
  const made = (socket as unknown as { _handle?: { constructor: new (type: number) => StreamHandle } })
    ._handle;
  socket.destroy();
  if (made === undefined) throw new Error('this Node gives no handle to watch descriptors with');
  return new made.constructor(TCP_SOCKET);
}

const TCP_SOCKET = 0;
const openHandles: Set<StreamHandle> = new Set();
