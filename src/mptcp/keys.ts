// Decides keys, tokens, initial data sequence numbers and the HMACs made from them: RFC 8684 §3.1, §3.2,
// §3.4.1.
// The hashes come from outside (Entropy); nothing is hashed here by hand. Joins are rare: this may allocate.

import type { Entropy } from '../tcp/index.ts';

/** One side's key and what follows from it. */
export interface Key {
  readonly hi: number;
  readonly lo: number;
  /** The key in network byte order. */
  readonly bytes: Uint8Array;
  /** Leftmost 32 bits of SHA-256(key). */
  readonly token: number;
  /** Rightmost 64 bits of SHA-256(key): the initial data sequence number. */
  readonly idsnHi: number;
  readonly idsnLo: number;
}

/** The key of 64 bits given as two uint32 halves. */
export function keyFrom(entropy: Entropy, hi: number, lo: number): Key {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, hi);
  view.setUint32(4, lo);
  const digest = entropy.sha256(bytes);
  const hash = new DataView(digest.buffer, digest.byteOffset, digest.byteLength);
  return {
    hi: hi >>> 0,
    lo: lo >>> 0,
    bytes,
    token: hash.getUint32(0),
    idsnHi: hash.getUint32(24),
    idsnLo: hash.getUint32(28),
  };
}

/**
 * HMAC of the join handshake: key = own key ‖ peer's key, message = own nonce ‖ peer's nonce, of which the
 * leftmost 160 bits travel, and 64 in a SYN/ACK (RFC 8684 §3.2).
 */
export function joinHmac(
  entropy: Entropy,
  keys: { sender: Key; receiver: Key },
  nonces: { sender: number; receiver: number },
): Uint8Array {
  const message = new Uint8Array(8);
  const view = new DataView(message.buffer);
  view.setUint32(0, nonces.sender);
  view.setUint32(4, nonces.receiver);
  return entropy.hmacSha256(concatenate(keys.sender, keys.receiver), message).subarray(0, JOIN_HMAC_BYTES);
}

/** Rightmost 64 bits of the HMAC over address id, address and port (0 when absent), RFC 8684 §3.4.1. */
export function addAddrHmac(
  entropy: Entropy,
  keys: { sender: Key; receiver: Key },
  address: { id: number; family: 4 | 6; words: Int32Array; port: number },
): { hi: number; lo: number } {
  const words = address.words.subarray(address.family === 4 ? 3 : 0);
  const message = new Uint8Array(1 + words.byteLength + 2);
  const view = new DataView(message.buffer);
  view.setUint8(0, address.id);
  for (let i = 0; i < words.length; i++) view.setInt32(1 + i * 4, words[i]);
  view.setUint16(1 + words.byteLength, address.port);
  const digest = entropy.hmacSha256(concatenate(keys.sender, keys.receiver), message);
  const hash = new DataView(digest.buffer, digest.byteOffset, digest.byteLength);
  return { hi: hash.getUint32(24), lo: hash.getUint32(28) };
}

/** True when the first `length` bytes agree; takes the same time wherever they differ. */
export function sameBytes(a: Uint8Array, b: Uint8Array, length: number): boolean {
  let difference = 0;
  for (let i = 0; i < length; i++) difference |= a[i] ^ b[i];
  return difference === 0;
}

function concatenate(first: Key, second: Key): Uint8Array {
  const both = new Uint8Array(16);
  both.set(first.bytes, 0);
  both.set(second.bytes, 8);
  return both;
}

const JOIN_HMAC_BYTES = 20;
