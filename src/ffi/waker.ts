// Tells when a descriptor is readable without a native module: a TCP handle of Node's is opened on it, and
// reads into a buffer of no length.
//
// Decides: how libuv is made to report without reading. It polls any descriptor a stream handle was opened
// on; when that is readable it asks for memory, and given none it reports ENOBUFS, having read nothing, and
// polls on. Node's handles are not public; what is used of them has been the same from Node 20 to 26, and is
// checked when it is used.
// Walk: node-ffi.ts polls with this.

import type { Poll } from './foreign.ts';
import { newTcpHandle, type TcpHandle } from './tcp-handle.ts';

/** Watches `fd`, which belongs to the watcher from now on and is closed with it. */
export function wakeWhenReadable(fd: number, onReadable: () => void): Poll {
  const handle = newTcpHandle('socket') as StreamHandle;
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

/** What every stream handle has besides. */
interface StreamHandle extends TcpHandle {
  useUserBuffer(buffer: Uint8Array): void;
  onread: () => void;
  readStart(): number;
}

const openHandles: Set<StreamHandle> = new Set();
