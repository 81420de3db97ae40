// A netlink socket: questions and their answers, and the kernel's own news.
//
// Decides: that a question is asked and answered in one call. The kernel works on it before `send` returns,
// so the answer is there to be received and nothing needs to be waited for. News is polled by the event loop.
// Read: linux/netlink.h (nlmsgerr, extended acknowledgements).
// Walk: netlink.ts has the framing; sock-diag.ts, path-manager.ts and monitor.ts use this.

import { type Foreign, foreign, type NativeFunction, type Poll } from '../ffi/index.ts';
import { closeDescriptor, systemError } from './descriptor.ts';
import { NATIVE_LITTLE } from './info.ts';
import {
  decodeAttributes,
  decodeMessages,
  encodeMessage,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  u32,
  zeroText,
} from './netlink.ts';

/** A question. */
export interface NetlinkRequest {
  readonly type: number;
  readonly payload: Uint8Array;
  /** All there are, rather than one. */
  readonly dump?: boolean;
}

/** One socket of one protocol. */
export class NetlinkSocket {
  readonly #calls: Calls;
  readonly #fd: number;
  readonly #buffer: Uint8Array = new Uint8Array(BUFFER_BYTES);
  #sequence = 0;
  #poll: Poll | undefined;
  #closed = false;

  constructor(protocol: number) {
    this.#calls = netlinkCalls();
    this.#fd = this.#checked(this.#calls.socket(AF_NETLINK, SOCK_RAW_NONBLOCK_CLOEXEC, protocol), 'socket');
    const address = new Uint8Array(SOCKADDR_NL_BYTES);
    new DataView(address.buffer).setUint16(0, AF_NETLINK, NATIVE_LITTLE);
    this.#checked(this.#calls.bind(this.#fd, address, address.length), 'bind');
    // The kernel then says in words what it does not like; older ones do not know how.
    this.#calls.setsockopt(this.#fd, SOL_NETLINK, NETLINK_EXT_ACK, ONE, 4);
  }

  /** The answers to a question; throws what the kernel answered when it refused. */
  request({ type, payload, dump = false }: NetlinkRequest): NetlinkMessage[] {
    const sequence = ++this.#sequence;
    const flags = NLM_F_REQUEST | (dump ? NLM_F_DUMP : NLM_F_ACK);
    const message = encodeMessage({ type, flags, sequence, payload });
    this.#checked(this.#calls.send(this.#fd, message, message.length, 0), 'send');
    const answers: NetlinkMessage[] = [];
    for (;;) {
      for (const answer of decodeMessages(this.#receive())) {
        if (answer.sequence !== sequence) continue;
        if (answer.type === NLMSG_ERROR) {
          const refusal = refusalOf(answer);
          if (refusal !== undefined) throw refusal;
          return answers;
        }
        if (answer.type === NLMSG_DONE) return answers;
        answers.push(answer);
      }
    }
  }

  /** Tells of everything that the kernel says to a group from now on; `onLost` that some of it was missed. */
  subscribe(group: number, onNews: (message: NetlinkMessage) => void, onLost: () => void): void {
    const joined = this.#calls.setsockopt(this.#fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, u32(group), 4);
    this.#checked(joined, 'setsockopt');
    this.#poll ??= this.#calls.ffi.poll(this.#fd, () => {
      const length = this.#calls.recv(this.#fd, this.#buffer, this.#buffer.length, 0);
      if (length >= 0) for (const news of decodeMessages(this.#buffer.subarray(0, length))) onNews(news);
      else if (this.#calls.ffi.errno() === ENOBUFS) onLost();
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll?.close();
    closeDescriptor(this.#fd);
  }

  #receive(): Uint8Array {
    const length = this.#calls.recv(this.#fd, this.#buffer, this.#buffer.length, 0);
    return this.#buffer.subarray(0, this.#checked(length, 'recv'));
  }

  #checked(result: number, syscall: string): number {
    if (result >= 0) return result;
    throw systemError(this.#calls.ffi.errno(), syscall);
  }
}

/** What an acknowledgement refuses; undefined when it does not. */
export function refusalOf({ payload, flags }: NetlinkMessage): Error | undefined {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const errno = payload.length >= 4 ? -view.getInt32(0, NATIVE_LITTLE) : 0;
  if (errno === 0) return undefined;
  const error = systemError(errno, 'netlink');
  // A struct nlmsgerr: the error, then the question, in full unless it is capped to its header.
  const echoed = (flags & NLM_F_CAPPED) !== 0 ? 16 : view.getUint32(4, NATIVE_LITTLE);
  const words = zeroText(decodeAttributes(payload.subarray(4 + echoed)), NLMSGERR_ATTR_MSG);
  if ((flags & NLM_F_ACK_TLVS) !== 0 && words !== undefined) error.message = `${error.code}: ${words}`;
  return error;
}

interface Calls {
  readonly ffi: Foreign;
  readonly socket: NativeFunction;
  readonly bind: NativeFunction;
  readonly setsockopt: NativeFunction;
  readonly send: NativeFunction;
  readonly recv: NativeFunction;
}

function netlinkCalls(): Calls {
  if (loaded !== undefined) return loaded;
  const ffi = foreign();
  loaded = {
    ffi,
    socket: ffi.call('socket', ['i32', 'i32', 'i32']),
    bind: ffi.call('bind', ['i32', 'bytes', 'u32']),
    setsockopt: ffi.call('setsockopt', ['i32', 'i32', 'i32', 'bytes', 'u32']),
    send: ffi.call('send', ['i32', 'bytes', 'size', 'i32']),
    recv: ffi.call('recv', ['i32', 'bytes', 'size', 'i32']),
  };
  return loaded;
}

let loaded: Calls | undefined;
const ONE: Uint8Array = u32(1);
const AF_NETLINK = 16;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const SOCKADDR_NL_BYTES = 12;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_EXT_ACK = 11;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
const ENOBUFS = 105;
/** A dump comes in pieces of at most 32 KiB. */
const BUFFER_BYTES = 65_536;
