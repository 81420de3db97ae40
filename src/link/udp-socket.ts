// Opens UDP sockets the way the udp link needs them.
//
// Decides: literal addresses only, so that Node's name lookup never delays a bind or a send; sockets of their
// own in cluster workers; large kernel buffers, because a burst must survive while the event loop is busy.
// A socket is bound to an address, not to a device: SO_BINDTODEVICE is out of Node's reach, so on Linux two
// uplinks need a routing rule per source address (docs/ARCHITECTURE.md).
// Walk: link/udp opens, closes and uses what is made here.

import { createSocket, type RemoteInfo, type Socket, type SocketType } from 'node:dgram';
import type { RemoteEndpoint } from './link.ts';
import { withoutZone } from './peer-names.ts';

/** What a socket is opened for. */
export interface UdpSocketOptions {
  readonly local: { readonly address: string; readonly port: number };
  /** Present: the socket is connected, and hears nobody else. */
  readonly remote?: RemoteEndpoint;
  onMessage(message: Buffer, from: RemoteInfo): void;
  /** After opening: what ICMP said, mostly. */
  onError(error: Error): void;
}

/** Opens, binds and perhaps connects; rejects with the system's error, leaving nothing open. */
export function openUdpSocket(options: UdpSocketOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = makeSocket(options.local.address);
    const fail = (error: Error) => {
      socket.removeListener('error', fail);
      socket.on('error', () => {});
      socket.close();
      reject(error);
    };
    const done = () => {
      socket.removeListener('error', fail);
      socket.on('error', options.onError);
      resolve(socket);
    };
    socket.on('error', fail);
    socket.on('message', options.onMessage);
    socket.bind({ ...options.local, exclusive: true }, () => {
      enlargeBuffers(socket);
      if (options.remote === undefined) done();
      else connectSocket(socket, options.remote, error => (error === undefined ? done() : fail(error)));
    });
  });
}

/** The local address the system would use towards a remote one: asks the routing table, sends nothing. */
export function sourceAddressFor(remote: RemoteEndpoint): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = makeSocket(remote.address);
    socket.on('error', error => {
      reject(error);
      socket.close();
    });
    connectSocket(socket, remote, error => {
      if (error === undefined) resolve(socket.address().address);
      else reject(error);
      socket.close();
    });
  });
}

/** Whether a text address is IPv6, with or without a zone. */
export function isIpv6Text(address: string): boolean {
  return withoutZone(address).includes(':');
}

function makeSocket(address: string): Socket {
  const ipv6 = isIpv6Text(address);
  const type: SocketType = ipv6 ? 'udp6' : 'udp4';
  const socket = createSocket({ type, ipv6Only: ipv6, lookup: literalOnly });
  // Staying alive is for connections to ask for, not for their sockets.
  return socket.unref();
}

function connectSocket(socket: Socket, remote: RemoteEndpoint, done: (error?: Error) => void): void {
  // Node hands the callback the error, which its types do not say.
  const callback: (error?: Error) => void = error => done(error);
  socket.connect(remote.port, remote.address, callback);
}

/** A "lookup" that answers at once: all addresses here are literals. */
function literalOnly(
  address: string,
  options: unknown,
  callback: (error: Error | null, address: string, family: number) => void,
): void {
  const answer = typeof options === 'function' ? (options as typeof callback) : callback;
  answer(null, address, isIpv6Text(address) ? 6 : 4);
}

/** As large as the system allows; some say no instead of giving what they can. */
function enlargeBuffers(socket: Socket): void {
  for (const bytes of BUFFER_BYTES) {
    try {
      socket.setRecvBufferSize(bytes);
      socket.setSendBufferSize(bytes);
      return;
    } catch {
      // Smaller, then.
    }
  }
}

const BUFFER_BYTES = [4 << 20, 1 << 20, 256 << 10];
