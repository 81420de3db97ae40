// Decides the keyed hash of Fast Open cookies: SipHash-2-4 (Aumasson and Bernstein, 2012), because Linux
// makes its cookies of it: servers of both kinds that share a key (tcp_fastopen_key) honour each other's. It
// is not among the hashes that `Entropy` hands in, and no other part of the core may use it.
// Before and after: host/fast-open.

/** The eight bytes, in order, of the hash of `length` bytes (a multiple of 8) under a key of 16 bytes. */
export function siphash24(key: Uint8Array, data: Uint8Array, length: number): Uint8Array {
  const k = new DataView(key.buffer, key.byteOffset, 16);
  const words = new DataView(data.buffer, data.byteOffset, length);
  const k0 = [k.getInt32(4, true), k.getInt32(0, true)] as const;
  const k1 = [k.getInt32(12, true), k.getInt32(8, true)] as const;
  // v0 to v3, each as its upper and its lower half.
  const v = Int32Array.of(
    ...[0x736f6d65 ^ k0[0], 0x70736575 ^ k0[1], 0x646f7261 ^ k1[0], 0x6e646f6d ^ k1[1]],
    ...[0x6c796765 ^ k0[0], 0x6e657261 ^ k0[1], 0x74656462 ^ k1[0], 0x79746573 ^ k1[1]],
  );
  for (let at = 0; at < length; at += 8) {
    mix(v, words.getInt32(at + 4, true), words.getInt32(at, true));
  }
  mix(v, length << 24, 0);
  v[5] ^= 0xff;
  for (let i = 0; i < 4; i++) round(v);
  const hash = new Uint8Array(8);
  const out = new DataView(hash.buffer);
  out.setInt32(0, v[1] ^ v[3] ^ v[5] ^ v[7], true);
  out.setInt32(4, v[0] ^ v[2] ^ v[4] ^ v[6], true);
  return hash;
}

function mix(v: Int32Array, hi: number, lo: number): void {
  v[6] ^= hi;
  v[7] ^= lo;
  round(v);
  round(v);
  v[0] ^= hi;
  v[1] ^= lo;
}

function round(v: Int32Array): void {
  add(v, 0, 2);
  rotate(v, 2, 13);
  xor(v, 2, 0);
  rotate(v, 0, 32);
  add(v, 4, 6);
  rotate(v, 6, 16);
  xor(v, 6, 4);
  add(v, 0, 6);
  rotate(v, 6, 21);
  xor(v, 6, 0);
  add(v, 4, 2);
  rotate(v, 2, 17);
  xor(v, 2, 4);
  rotate(v, 4, 32);
}

function add(v: Int32Array, a: number, b: number): void {
  const low = (v[a + 1] >>> 0) + (v[b + 1] >>> 0);
  v[a + 1] = low | 0;
  v[a] = v[a] + v[b] + (low > 0xffff_ffff ? 1 : 0);
}

function xor(v: Int32Array, a: number, b: number): void {
  v[a] ^= v[b];
  v[a + 1] ^= v[b + 1];
}

function rotate(v: Int32Array, a: number, bits: number): void {
  const hi = v[a];
  const lo = v[a + 1];
  if (bits === 32) {
    v[a] = lo;
    v[a + 1] = hi;
    return;
  }
  v[a] = (hi << bits) | (lo >>> (32 - bits));
  v[a + 1] = (lo << bits) | (hi >>> (32 - bits));
}
