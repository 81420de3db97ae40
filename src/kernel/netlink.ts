// Netlink messages and attributes as bytes.
//
// Decides: the framing alone, for any protocol over netlink. Everything is in the machine's own order and
// padded to 4 bytes. What the kernel sends is taken as far as it makes sense.
// Read: linux/netlink.h; linux/genetlink.h.
// Walk: netlink-socket.ts sends and receives; sock-diag.ts and path-manager.ts know what is inside.

import { NATIVE_LITTLE } from './info.ts';

/** One message, without its header. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

/** Attributes by type; of several with one type the last. */
export type Attributes = ReadonlyMap<number, Uint8Array>;

/** A value on its way into an attribute. */
export type AttributeValue = Uint8Array | readonly (readonly [type: number, value: AttributeValue])[];

/** Kinds of message that every protocol has. */
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLM_F_DUMP = 0x300;

export function encodeMessage({ type, flags, sequence, payload }: NetlinkMessage): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, NATIVE_LITTLE);
  view.setUint16(4, type, NATIVE_LITTLE);
  view.setUint16(6, flags, NATIVE_LITTLE);
  view.setUint32(8, sequence, NATIVE_LITTLE);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** All messages of one datagram. */
export function decodeMessages(bytes: Uint8Array): NetlinkMessage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint32(at, NATIVE_LITTLE);
    if (length < HEADER_BYTES || at + length > bytes.length) break;
    messages.push({
      type: view.getUint16(at + 4, NATIVE_LITTLE),
      flags: view.getUint16(at + 6, NATIVE_LITTLE),
      sequence: view.getUint32(at + 8, NATIVE_LITTLE),
      payload: bytes.slice(at + HEADER_BYTES, at + length),
    });
    at += padded(length);
  }
  return messages;
}

/** Attributes one after the other; a list is a nested attribute. */
export function encodeAttributes(
  attributes: readonly (readonly [type: number, value: AttributeValue])[],
): Uint8Array {
  const parts = attributes.map(([type, value]) => {
    const nested = !(value instanceof Uint8Array);
    const content = nested ? encodeAttributes(value) : value;
    const part = new Uint8Array(padded(ATTRIBUTE_HEADER_BYTES + content.length));
    const view = new DataView(part.buffer);
    view.setUint16(0, ATTRIBUTE_HEADER_BYTES + content.length, NATIVE_LITTLE);
    view.setUint16(2, nested ? type | NLA_F_NESTED : type, NATIVE_LITTLE);
    part.set(content, ATTRIBUTE_HEADER_BYTES);
    return part;
  });
  return concatenate(parts);
}

export function decodeAttributes(bytes: Uint8Array): Attributes {
  return new Map(attributeList(bytes));
}

/** Attributes in their order, for nested ones that are an array. */
export function attributeList(bytes: Uint8Array): [type: number, value: Uint8Array][] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const attributes: [number, Uint8Array][] = [];
  for (let at = 0; at + ATTRIBUTE_HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint16(at, NATIVE_LITTLE);
    if (length < ATTRIBUTE_HEADER_BYTES || at + length > bytes.length) break;
    const type = view.getUint16(at + 2, NATIVE_LITTLE) & NLA_TYPE_MASK;
    attributes.push([type, bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length)]);
    at += padded(length);
  }
  return attributes;
}

/** A number in an attribute; undefined when there is none, or none of that size. */
export function unsigned(attributes: Attributes, type: number): number | undefined {
  const value = attributes.get(type);
  if (value === undefined) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  if (value.length === 1) return view.getUint8(0);
  if (value.length === 2) return view.getUint16(0, NATIVE_LITTLE);
  return value.length === 4 ? view.getUint32(0, NATIVE_LITTLE) : undefined;
}

/** A port as the network has it, most significant byte first. */
export function networkPort(attributes: Attributes, type: number): number | undefined {
  const value = attributes.get(type);
  return value?.length === 2 ? (value[0] << 8) | value[1] : undefined;
}

/** A string that ends with a zero byte. */
export function zeroText(attributes: Attributes, type: number): string | undefined {
  const value = attributes.get(type);
  return value === undefined ? undefined : new TextDecoder().decode(value).replace(/\0.*$/s, '');
}

export function u8(value: number): Uint8Array {
  return Uint8Array.of(value);
}

export function u16(value: number): Uint8Array {
  const bytes = new Uint8Array(2);
  new DataView(bytes.buffer).setUint16(0, value, NATIVE_LITTLE);
  return bytes;
}

export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, NATIVE_LITTLE);
  return bytes;
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(`${value}\0`);
}

export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}

const HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
