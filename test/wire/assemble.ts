/**
 * Packets put together byte by byte for the tests of the decoder, without any code of the encoder.
 */

/** `bytes('1e 04 01 81')` */
export function bytes(hex: string): Uint8Array {
  const digits = hex.replace(/\s/g, '');
  const out = new Uint8Array(digits.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return out;
}

export function hex(data: Uint8Array): string {
  return Array.from(data, b => b.toString(16).padStart(2, '0')).join(' ');
}

export interface PacketParts {
  readonly version?: 4 | 6;
  readonly flags?: number;
  /** Padded with end-of-list bytes to a multiple of four. */
  readonly options?: Uint8Array;
  readonly payload?: Uint8Array;
  /** IPv6 extension headers; `next` is the type of the first. */
  readonly extensions?: { readonly next: number; readonly bytes: Uint8Array };
}

/** 192.0.2.1:4660 to 198.51.100.2:443, or 2001:db8::1 to 2001:db8::2; checksums by the naive sum below. */
export function assemble(parts: PacketParts): Uint8Array {
  const options = parts.options ?? new Uint8Array(0);
  const payload = parts.payload ?? new Uint8Array(0);
  const optionBytes = Math.ceil(options.length / 4) * 4;
  const tcp = new Uint8Array(20 + optionBytes + payload.length);
  tcp.set(bytes('12 34 01 bb  fe dc ba 98  89 ab cd ef'));
  tcp[12] = ((20 + optionBytes) / 4) << 4;
  tcp[13] = parts.flags ?? 0x10;
  tcp.set(bytes('20 00'), 14);
  tcp.set(options, 20);
  tcp.set(payload, 20 + optionBytes);
  return parts.version === 6 ? overIpv6(tcp, parts) : overIpv4(tcp);
}

function overIpv4(tcp: Uint8Array): Uint8Array {
  const ip = bytes('45 00 00 00  00 00 40 00  40 06 00 00  c0 00 02 01  c6 33 64 02');
  put16(ip, 2, 20 + tcp.length);
  put16(ip, 10, 0xffff - naiveSum([ip]));
  put16(
    tcp,
    16,
    0xffff - naiveSum([ip.slice(12, 20), Uint8Array.of(0, 6, tcp.length >> 8, tcp.length), tcp]),
  );
  return Uint8Array.from([...ip, ...tcp]);
}

function overIpv6(tcp: Uint8Array, parts: PacketParts): Uint8Array {
  const ip = new Uint8Array(40);
  const extensions = parts.extensions?.bytes ?? new Uint8Array(0);
  ip.set(bytes('60 00 00 00'));
  put16(ip, 4, extensions.length + tcp.length);
  ip[6] = parts.extensions?.next ?? 6;
  ip[7] = 64;
  ip.set(bytes('20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01'), 8);
  ip.set(bytes('20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 02'), 24);
  const length = Uint8Array.of(0, 0, tcp.length >> 8, tcp.length, 0, 0, 0, 6);
  put16(tcp, 16, 0xffff - naiveSum([ip.slice(8, 40), length, tcp]));
  return Uint8Array.from([...ip, ...extensions, ...tcp]);
}

/** RFC 1071 §4.1, word for word and with the carry added at once; each part but the last of even length. */
export function naiveSum(parts: Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) {
      sum += part[i] * 256 + (i + 1 < part.length ? part[i + 1] : 0);
      if (sum > 0xffff) sum -= 0xffff;
    }
  }
  return sum;
}

export function put16(data: Uint8Array, offset: number, value: number): void {
  data[offset] = value >> 8;
  data[offset + 1] = value;
}
